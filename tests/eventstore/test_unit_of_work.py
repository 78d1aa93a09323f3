"""A unit appends and projects as one, and refuses what would break the log."""

import pytest
from sqlalchemy import func, select

from eventstore.errors import (
    AggregateNotFoundError,
    BrokenUnitError,
    NestedUnitError,
    OutdatedProjectionError,
    VersionConflictError,
)
from eventstore.event_log import EventLog
from eventstore.sql.schema import stored_event
from eventstore.unit_of_work import UnitOfWork
from tests.eventstore.counter import ALICE, BOB, ENVELOPE, Counter, Totals, append, counter_id
from tests.servers.databases import ON_POSTGRES
from tests.statements import traced_round_trips


def rows(log: EventLog, totals: Totals) -> tuple[int, dict[str, int]]:
    """How many events there are, and what the read model says."""
    with log.database.read() as connection:
        events = connection.scalar(select(func.count()).select_from(stored_event)) or 0
        found = connection.execute(select(totals.table.c.name, totals.table.c.total))
        return events, {row.name: row.total for row in found}


def test_events_and_rows_of_a_unit_are_committed_together(log: EventLog, totals: Totals) -> None:
    append(log, "a", 1, 2)
    append(log, "a", 3)
    assert rows(log, totals) == (4, {"a": 6})


def test_a_saved_event_carries_its_envelope(log: EventLog) -> None:
    append(log, "a", 1)
    [opened, added] = log.read(after=0, until=log.stable_position(), limit=10)
    assert (opened.position, opened.version, opened.topic) == (1, 1, "test.counter.opened.v1")
    assert (added.position, added.version, added.did) == (2, 2, ALICE)
    assert (added.actor, added.via, added.request_id) == (ALICE, "test", "r-1")
    assert added.aggregate_id == counter_id("a")
    assert added.event.amount == 1
    assert opened.recorded_at == added.recorded_at


def test_a_change_has_the_states_just_before_and_just_after_it(log: EventLog) -> None:
    append(log, "a", 1)
    with log.unit_of_work(ALICE, ENVELOPE) as unit:
        counter = unit.load(Counter, counter_id("a"))
        counter.add(2)
        counter.add(3)
        [first, second] = unit.save(counter)
        counter.amounts.clear()
        assert (first.before.amounts, first.after.amounts) == ([1], [1, 2])
        assert (second.before.amounts, second.after.amounts) == ([1, 2], [1, 2, 3])
        counter.add(4)
        [third] = unit.save(counter)
        assert (third.before.total, third.after.total, third.version) == (6, 10, 5)


def test_a_raising_projection_leaves_events_and_rows_as_before(log: EventLog, totals: Totals) -> None:
    append(log, "a", 1)
    totals.fails_at = 9
    before = rows(log, totals)
    with pytest.raises(RuntimeError):
        append(log, "a", 3, 5)
    assert rows(log, totals) == before


def test_a_swallowed_error_of_save_is_not_committed(log: EventLog, totals: Totals) -> None:
    append(log, "a", 1)
    totals.fails_at = 9
    before = rows(log, totals)

    def swallow(unit: UnitOfWork) -> None:
        assert unit.connection.in_transaction()
        counter = unit.load(Counter, counter_id("a"))
        counter.add(8)
        with pytest.raises(RuntimeError):
            unit.save(counter)

    with pytest.raises(BrokenUnitError):
        log.transact(ALICE, ENVELOPE, swallow)
    assert rows(log, totals) == before


def test_an_aggregate_of_another_account_is_not_found(log: EventLog) -> None:
    append(log, "a", 1)
    with log.unit_of_work(BOB, ENVELOPE) as unit, pytest.raises(AggregateNotFoundError):
        unit.load(Counter, counter_id("a"))


def test_a_unit_inside_a_transaction_is_refused(log: EventLog) -> None:
    with (
        log.unit_of_work(ALICE, ENVELOPE),
        pytest.raises(NestedUnitError),
        log.unit_of_work(BOB, ENVELOPE),
    ):
        pass
    with log.database.read(), pytest.raises(NestedUnitError), log.unit_of_work(ALICE, ENVELOPE):
        pass


def test_an_aggregate_loaded_before_anothers_append_conflicts(log: EventLog, totals: Totals) -> None:
    append(log, "a", 1)
    with log.unit_of_work(ALICE, ENVELOPE) as unit:
        stale = unit.load(Counter, counter_id("a"))
    append(log, "a", 2)
    stale.add(10)
    with pytest.raises(VersionConflictError), log.unit_of_work(ALICE, ENVELOPE) as unit:
        unit.save(stale)
    assert rows(log, totals) == (3, {"a": 3})


def test_events_of_a_unit_that_was_rolled_back_are_pending_again(log: EventLog, totals: Totals) -> None:
    counter = Counter(name="a")
    counter.add(1)

    def save_and_fail(unit: UnitOfWork) -> None:
        unit.save(counter)
        raise KeyError

    with pytest.raises(KeyError):
        log.transact(ALICE, ENVELOPE, save_and_fail)
    with log.unit_of_work(ALICE, ENVELOPE) as unit:
        unit.save(counter)
    assert rows(log, totals) == (2, {"a": 1})


def test_a_projection_that_was_never_built_is_refused_once_there_are_events(
    log: EventLog, totals: Totals
) -> None:
    append(EventLog(log.database), "a", 1)
    with pytest.raises(OutdatedProjectionError):
        append(log, "a", 2)
    assert rows(log, totals) == (2, {})


def test_callbacks_run_after_the_commit_and_only_then(log: EventLog, totals: Totals) -> None:
    seen: list[tuple[int, dict[str, int]]] = []
    with log.unit_of_work(ALICE, ENVELOPE) as unit:
        unit.after_commit(lambda: 1 / 0)
        unit.after_commit(lambda: seen.append(rows(log, totals)))
        unit.save(Counter(name="a"))
        assert not seen
    assert seen == [(1, {"a": 0})]

    def fail(unit: UnitOfWork) -> None:
        unit.after_commit(lambda: seen.append((0, {})))
        raise KeyError

    with pytest.raises(KeyError):
        log.transact(ALICE, ENVELOPE, fail)
    assert len(seen) == 1


@ON_POSTGRES
def test_several_aggregates_take_as_many_round_trips_as_one(log: EventLog) -> None:
    names = ["a", "b", "c", "d"]
    for name in names:
        append(log, name, 1)

    def round_trips_for(wanted: list[str]) -> int:
        other = EventLog(log.database, projections=log.projections)  # it has nothing in its cache
        with other.unit_of_work(ALICE, ENVELOPE):
            pass  # the first one asks which version makes the rows
        with traced_round_trips(log.database.engine) as round_trips:
            with other.unit_of_work(ALICE, ENVELOPE) as unit:
                counters = unit.load_all(Counter, [counter_id(name) for name in wanted])
                for counter in counters:
                    counter.add(1)
                    counter.add(2)
                changes = unit.save(*counters)
            assert [change.aggregate_id for change in changes] == [
                counter_id(name) for name in wanted for _ in range(2)
            ]
            return round_trips()

    assert round_trips_for(names) == round_trips_for(["a"])
    with log.unit_of_work(ALICE, ENVELOPE) as unit:
        assert [each.total for each in unit.load_all(Counter, [*map(counter_id, names)])] == [7, 4, 4, 4]
