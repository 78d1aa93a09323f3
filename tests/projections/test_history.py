"""`history` shows actor, time, and each changed field before and after."""

import pytest

from eventstore.change import Envelope
from eventstore.event_log import EventLog
from projections.history import HistoryEntry, history_page
from tests.dsl import ALICE, BOB, some_artwork, some_audio, some_blob, some_feature, some_time
from tests.projections.track_log import change, upload

OPERATOR = Envelope(actor="did:plc:operator", via="cli", request_id="r-9")


def entries(log: EventLog, track_id: int = 1) -> list[HistoryEntry]:
    with log.database.read() as connection:
        return list(history_page(connection, track_id, newest_first=False).items)


def shown(entry: HistoryEntry) -> dict[str, tuple[object, object]]:
    return {each["field"]: (each["before"], each["after"]) for each in entry.changes}


def test_an_entry_has_actor_time_and_channel(log: EventLog) -> None:
    upload(log)
    change(log, 1, lambda t: t.set_unlisted(True, at=some_time(5)), envelope=OPERATOR)
    [created, changed] = log.read(after=0, until=log.stable_position(), limit=9)
    [first, second] = entries(log)
    assert (first.actor, first.via, first.request_id) == (ALICE, "test", "r-1")
    assert (second.actor, second.via, second.request_id) == (OPERATOR.actor, "cli", "r-9")
    assert [(each.position, each.at) for each in (first, second)] == [
        (each.position, each.recorded_at) for each in (created, changed)
    ]
    assert (first.type, first.topic, first.touches_record) == ("Created", "track.registered.v1", True)
    assert (second.type, second.topic, second.touches_record) == (
        "VisibilityChanged",
        "track.visibility_changed.v1",
        False,
    )
    assert [(each.did, each.track_id, each.version) for each in (first, second)] == [
        (ALICE, 1, 1),
        (ALICE, 1, 2),
    ]


def test_a_creation_shows_every_field_that_has_a_value_with_nothing_before_it(log: EventLog) -> None:
    track = upload(log, features=(some_feature(),), artwork=some_artwork())
    changes = shown(entries(log)[0])
    assert {before for before, _ in changes.values()} == {None}
    assert changes["title"] == (None, "Track 1")
    assert changes["features"] == (None, [{"did": "did:plc:carol", "handle": "carol.test"}])
    assert changes["audio"] == (None, vars(some_audio(1)))
    assert changes["artwork"] == (None, vars(some_artwork()))
    assert changes["created_at"] == (None, track.created_at)
    assert changes["rkey"] == (None, track.rkey)
    assert "album" not in changes
    assert "deleted_at" not in changes


def test_a_change_shows_each_field_before_and_after(log: EventLog) -> None:
    upload(log, album="old", tags=("a",))
    change(
        log, 1, lambda t: t.update_metadata({"title": "new", "album": None, "tags": ("b",)}, at=some_time(5))
    )
    assert shown(entries(log)[1]) == {
        "title": ("Track 1", "new"),
        "album": ("old", None),
        "tags": (["a"], ["b"]),
    }


def test_what_an_event_changes_besides_is_shown_too(log: EventLog) -> None:
    """The state is compared, not the event read: nothing that ends silently is left out."""
    upload(log)
    change(log, 1, lambda t: t.record_blob(some_blob(), at=some_time(5)), envelope=OPERATOR)
    change(log, 1, lambda t: t.replace_audio(some_audio(2), at=some_time(6)))
    change(log, 1, lambda t: t.record_missing(observed_at=some_time(7)))
    change(log, 1, lambda t: t.delete(at=some_time(8)))
    [_, migrated, replaced, missing, deleted] = entries(log)
    assert shown(migrated) == {"blob": (None, some_audio(1).cid)}
    assert shown(replaced) == {
        "audio": (vars(some_audio(1)), vars(some_audio(2))),
        "blob": (some_audio(1).cid, None),
    }
    assert shown(missing) == {"record_missing_since": (None, some_time(7).isoformat())}
    assert shown(deleted) == {
        "record_missing_since": (some_time(7).isoformat(), None),
        "deleted_at": (None, some_time(8).isoformat()),
    }


@pytest.mark.parametrize("newest_first", [True, False])
def test_pages_of_history_follow_each_other_in_both_orders(log: EventLog, newest_first: bool) -> None:
    upload(log)
    for number in range(4):
        upload(log, 10 + number, did=BOB)
        change(log, 1, lambda t, n=number: t.update_metadata({"title": f"{n}"}, at=some_time(n)))  # type: ignore[misc]
    versions, cursor = [], None
    with log.database.read() as connection:
        while True:
            page = history_page(connection, 1, cursor=cursor, limit=2, newest_first=newest_first)
            versions.append([entry.version for entry in page.items])
            if (cursor := page.cursor) is None:
                break
    assert versions == ([[5, 4], [3, 2], [1]] if newest_first else [[1, 2], [3, 4], [5]])
