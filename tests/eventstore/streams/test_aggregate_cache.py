"""A cached state is continued with the events since, and equals the fold of all events."""

import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import delete

from eventstore.change import AggregateCache, StreamState
from eventstore.event_log import EventLog
from eventstore.sql.schema import stored_event
from eventstore.streams.codec import Codec
from eventstore.unit_of_work import UnitOfWork
from tests.eventstore.counter import ALICE, ENVELOPE, Counter, Totals, append, counter_id
from tests.servers.databases import ON_BOTH, ON_SQLITE

pytestmark = ON_SQLITE


@pytest.fixture
def other(log: EventLog, totals: Totals) -> EventLog:
    return EventLog(log.database, projections=[totals])


def total(log: EventLog, name: str = "a") -> int:
    with log.unit_of_work(ALICE, ENVELOPE) as unit:
        return unit.load(Counter, counter_id(name)).total


@ON_BOTH
def test_events_of_another_process_continue_the_cached_state(log: EventLog, other: EventLog) -> None:
    append(log, "a", 1)
    append(other, "a", 2, 3)
    assert total(log) == 6
    append(log, "a", 4)
    assert total(other) == 10


def test_only_new_events_are_decoded(log: EventLog, other: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    append(log, "a", *range(20))
    append(other, "a", 1)
    decoded = []
    decode = Codec.decode
    monkeypatch.setattr(Codec, "decode", lambda self, stored: decoded.append(stored) or decode(self, stored))
    assert total(log) == sum(range(20)) + 1
    assert len(decoded) == 1


def test_a_unit_that_is_rolled_back_leaves_nothing_behind(log: EventLog, other: EventLog) -> None:
    append(log, "a", 1)

    def spoil(unit: UnitOfWork) -> None:
        counter = unit.load(Counter, counter_id("a"))
        counter.add(100)
        unit.save(counter)
        unit.load(Counter, counter_id("a"))
        raise RuntimeError

    with pytest.raises(RuntimeError):
        log.transact(ALICE, ENVELOPE, spoil)
    append(other, "a", 2)
    assert total(log) == 3


def test_what_a_unit_read_on_before_it_was_rolled_back_is_not_kept(log: EventLog, other: EventLog) -> None:
    append(log, "a", 1)
    append(other, "a", 2)
    before = log.cache.get(counter_id("a"))

    def spoil(unit: UnitOfWork) -> None:
        assert unit.load(Counter, counter_id("a")).total == 3
        raise RuntimeError

    with pytest.raises(RuntimeError):
        log.transact(ALICE, ENVELOPE, spoil)
    kept = log.cache.get(counter_id("a"))
    assert kept is before
    assert isinstance(kept, StreamState)
    assert kept.state.version == 2


def test_a_unit_cannot_alter_the_cached_state(log: EventLog) -> None:
    append(log, "a", 1)
    with log.unit_of_work(ALICE, ENVELOPE) as unit:
        unit.load(Counter, counter_id("a")).add(100)  # and not saved
    with log.unit_of_work(ALICE, ENVELOPE) as unit:
        counter = unit.load(Counter, counter_id("a"))
        counter.add(10)
        unit.save(counter)
        counter.add(1000)
    assert total(log) == 11


@ON_BOTH
def test_a_restored_log_is_believed_and_not_the_cache(log: EventLog, other: EventLog) -> None:
    append(log, "a", 1)
    append(log, "a", 100)
    with log.database.write() as connection:
        connection.execute(delete(stored_event).where(stored_event.c.originator_version > 2))
    assert total(log) == 1
    append(log, "a", 100)
    with log.database.write() as connection:
        connection.execute(delete(stored_event).where(stored_event.c.originator_version > 2))
    append(EventLog(log.database, projections=other.projections), "a", 5, 6)
    assert total(log) == 12


def test_the_streams_used_longest_ago_are_evicted(log: EventLog) -> None:
    append(log, "a", 1)
    state = log.cache.get(counter_id("a"))
    assert isinstance(state, StreamState)
    cache = AggregateCache(max_streams=2)
    for name in ("a", "b", "a", "c"):
        cache.put(counter_id(name), state)
    assert [cache.get(counter_id(name)) is not None for name in "abc"] == [True, False, True]


def test_threads_can_put_and_get_states_at_once(log: EventLog) -> None:
    append(log, "a", 1)
    state = log.cache.get(counter_id("a"))
    assert isinstance(state, StreamState)
    cache = AggregateCache(max_streams=1)

    def put_and_get(name: str) -> None:
        for _ in range(2000):
            cache.put(counter_id(name), state)
            cache.get(counter_id(name))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as threads:
            for done in [threads.submit(put_and_get, name) for name in "abcd"]:
                done.result()
    finally:
        sys.setswitchinterval(interval)
