"""Pages of entries whose size the caller has chosen."""

import json
from datetime import UTC, datetime

from sqlalchemy import insert

from eventstore.event_log import EventLog
from projections.history import AuditFilter, HistoryPage, audit_page, events_after, history
from projections.pages import PAGE_BYTES
from tests.dsl import ALICE

AN_ENTRY = {
    "did": ALICE,
    "version": 1,
    "type": "MetadataUpdated",
    "topic": "t",
    "actor": ALICE,
    "via": "browser",
    "request_id": "r",
    "at": datetime(2026, 1, 1, tzinfo=UTC),
    "touches_record": True,
}


def write(log: EventLog, *texts: str) -> None:
    changes = ([{"field": "description", "before": None, "after": text}] for text in texts)
    rows = [{**AN_ENTRY, "position": at, "changes": each} for at, each in enumerate(changes, start=1)]
    with log.database.write() as connection:
        connection.execute(insert(history), rows)


def pages(log: EventLog, *, oldest_first: bool = False) -> list[HistoryPage]:
    found: list[HistoryPage] = []
    with log.database.read() as connection:
        while not found or found[-1].cursor is not None:
            cursor = found[-1].cursor if found else None
            if oldest_first:
                page = events_after(connection, AuditFilter(ALICE), after=cursor or 0, until=100, limit=100)
            else:
                page = audit_page(connection, AuditFilter(ALICE), cursor=cursor, limit=100)
            found.append(page)
    return found


def positions(found: list[HistoryPage]) -> list[list[int]]:
    return [[entry.position for entry in page.items] for page in found]


def test_a_page_of_large_entries_ends_before_its_bytes_and_the_next_goes_on(log: EventLog) -> None:
    write(log, *["a" * 400_000] * 5)
    assert positions(pages(log)) == [[5, 4], [3, 2], [1]]
    assert positions(pages(log, oldest_first=True)) == [[1, 2], [3, 4], [5]]


def test_an_entry_that_is_larger_than_a_page_has_one_of_its_own(log: EventLog) -> None:
    write(log, "a", "b" * 2 * PAGE_BYTES, "c", "d")
    assert positions(pages(log)) == [[4, 3], [2], [1]]


def test_entries_count_as_they_are_sent(log: EventLog) -> None:
    write(log, *[letter * 15_000 for letter in "\x01é\u4e2d\U0001f3b5" for _ in range(20)])
    for page in pages(log):
        assert len(json.dumps([entry.changes for entry in page.items])) <= PAGE_BYTES
