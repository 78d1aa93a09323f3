"""The log gives back what was recorded, at any page size and with little memory."""

from typing import Any

import pytest
from eventsourcing.domain import Aggregate

from eventstore.change import Change, RecordedEvent
from eventstore.event_log import EventLog
from eventstore.unit_of_work import UnitOfWork
from projections.rebuild.rebuild import Replayer
from tests.eventstore.counter import ALICE, BOB, ENVELOPE, Counter, counter_id
from tests.servers.databases import ON_SQLITE


class Note(Aggregate):
    """Another kind of aggregate."""


@pytest.fixture
def live(log: EventLog) -> list[Change]:
    """The changes of six interleaved counters as they were made."""

    def work(unit: UnitOfWork, name: str) -> list[Change]:
        counter = unit.load(Counter, counter_id(name))
        counter.add(1)
        counter.add(2)
        return unit.save(counter)

    names = [f"{did}-{n}" for n in range(3) for did in (ALICE, BOB)]
    saved = [
        log.transact(name[:-2], ENVELOPE, lambda unit, name=name: unit.save(Counter(name=name)))
        for name in names
    ]
    saved += [
        log.transact(name[:-2], ENVELOPE, lambda unit, name=name: work(unit, name)) for name in names * 3
    ]
    return [change for changes in saved for change in changes]


@ON_SQLITE
@pytest.mark.parametrize(("limit", "max_states"), [(1, 1000), (7, 4), (1000, 1)])
def test_replaying_the_log_gives_the_changes_as_they_were_made(
    log: EventLog, live: list[Change], limit: int, max_states: int
) -> None:
    replayer, replayed, after, until = Replayer(log, max_states=max_states), [], 0, log.stable_position()
    while page := log.read(after=after, until=until, limit=limit):
        assert len(page) <= limit
        replayed += replayer.changes(page)
        after = page[-1].position
    assert replayed == live
    assert len(live) == 42


@ON_SQLITE
@pytest.mark.parametrize(("max_states", "read_again"), [(6, 0), (5, 18)])
def test_an_evicted_state_is_read_again_and_no_other(
    log: EventLog, live: list[Change], monkeypatch: pytest.MonkeyPatch, max_states: int, read_again: int
) -> None:
    prefixes: list[int] = []
    stream = log.stream

    def count(*args: Any, upto_version: int) -> list[RecordedEvent]:
        prefixes.append(upto_version)
        return stream(*args, upto_version=upto_version)

    monkeypatch.setattr(log, "stream", count)
    page = log.read(after=0, until=log.stable_position(), limit=100)
    assert Replayer(log, max_states=max_states).changes(page) == live
    assert len(prefixes) == read_again


def test_a_page_may_be_of_one_account(log: EventLog, live: list[Change]) -> None:
    page = log.read(after=0, until=log.stable_position(), limit=100, did=BOB)
    assert [r.position for r in page] == [c.position for c in live if c.did == BOB]


def test_a_stream_is_read_up_to_a_version(log: EventLog, live: list[Change]) -> None:
    name = counter_id(f"{ALICE}-0")
    with log.database.read() as connection:
        stream = log.stream(connection, ALICE, name, upto_version=3)
        counter = log.fold(Counter, stream)
        assert log.stream(connection, ALICE, counter_id("nobody")) == []
    assert [recorded.version for recorded in stream] == [1, 2, 3]
    assert counter == next(c.after for c in live if c.aggregate_id == name and c.version == 3)
    assert log.fold(Counter, []) is None


@ON_SQLITE
def test_a_stream_of_another_class_is_refused(log: EventLog, live: list[Change]) -> None:
    with log.database.read() as connection, pytest.raises(TypeError, match="of a Counter"):
        log.fold(Note, log.stream(connection, live[0].did, live[0].aggregate_id))
