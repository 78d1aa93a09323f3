"""A state is folded from the newest snapshot that this code made, and is the fold of all events."""

import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest
from eventsourcing.domain import Aggregate
from eventsourcing.utils import get_topic
from sqlalchemy import delete, select, update

from eventstore.event_log import EventLog
from eventstore.sql.database import Database
from eventstore.sql.schema import stored_event
from eventstore.streams import snapshots
from eventstore.streams.codec import Codec
from eventstore.streams.snapshots import Snapshots, aggregate_snapshot, code_that_folds, decode, encode
from projections.rebuild.rebuild import differences, rebuild
from tests.eventstore.counter import ALICE, Counter, append, counter_id
from tests.golden.tape import decoded as golden
from tests.golden.tape import place, topics

EVENTS_PER_SNAPSHOT = 10
A = counter_id("a")


@pytest.fixture(autouse=True)
def _snapshots_are_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshots, "EVENTS_PER_SNAPSHOT", EVENTS_PER_SNAPSHOT)


@pytest.fixture
def log(database: Database) -> EventLog:
    """A log whose counter has 34 events, and that has cached no state."""
    aggregate_snapshot.metadata.create_all(database.engine, tables=[table.live for table in Snapshots.tables])
    log = EventLog(database, projections=[Snapshots()])
    for amount in range(33):
        append(log, "a", amount)
    return EventLog(database, projections=[Snapshots()])


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The versions of the events that were decoded."""
    versions: list[int] = []
    decode = Codec.decode
    monkeypatch.setattr(
        Codec, "decode", lambda codec, row: versions.append(row.originator_version) or decode(codec, row)
    )
    return versions


def total_at(log: EventLog, version: int) -> int:
    with log.database.read() as connection:
        found = log.state_at(connection, ALICE, A, version)
    assert found is not None
    assert isinstance(found.state, Counter)
    assert (found.state.version, found.state.amounts) == (version, [*range(version - 1)])
    return found.state.total


def change_all(log: EventLog, **values: object) -> None:
    with log.database.write() as connection:
        connection.execute(update(aggregate_snapshot).values(values))


def test_a_state_is_read_from_the_snapshot_before_it(log: EventLog, read: list[int]) -> None:
    for version in (9, 10, 11, 34):
        read.clear()
        fresh = EventLog(log.database, projections=log.projections)
        assert total_at(fresh, version) == sum(range(version - 1))
        assert read == [*range(version // 10 * 10 + 1, version + 1)]


def test_a_command_on_a_state_that_is_not_cached_continues_the_snapshot(
    log: EventLog, read: list[int]
) -> None:
    append(log, "a", 33)
    assert set(read) == {31, 32, 33, 34, 35}
    log.cache._states.clear()  # noqa: SLF001 - others are used since
    assert total_at(log, 35) == sum(range(34))


def test_what_is_read_for_a_delivery_begins_at_the_snapshot_too(log: EventLog, read: list[int]) -> None:
    with log.database.read() as connection:
        position = connection.scalar(
            select(stored_event.c.position).where(stored_event.c.originator_version == 33)
        )
        assert position is not None
        latest, since = log.latest_since(connection, ALICE, {A: (position, position + 1)}, ("none",))[A]
    assert latest is not None
    assert latest.state.version == 34
    assert [each.version for each in since] == [33, 34]
    assert min(read) == 31


def test_a_snapshot_of_other_code_is_ignored(log: EventLog, read: list[int]) -> None:
    change_all(log, fingerprint="other code", state=b"?")
    assert total_at(log, 34) == sum(range(33))
    assert read == [*range(1, 35)]


def test_the_code_of_a_snapshot_is_that_of_all_aggregates() -> None:
    of_states = {each for state in _golden_states() for each in type(state).__mro__}
    ours = {Path(inspect.getfile(each)) for each in of_states if each.__module__.startswith("aggregates.")}
    assert len(ours) > 5
    assert ours <= {*code_that_folds()}


def test_a_snapshot_of_an_event_that_is_no_longer_in_the_log_is_ignored(log: EventLog) -> None:
    with log.database.write() as connection:
        connection.execute(delete(stored_event).where(stored_event.c.originator_version > 15))
    for amount in range(14, 22):  # the versions are used again
        append(log, "a", amount)
    assert total_at(EventLog(log.database), 23) == sum(range(22))


def test_a_wrong_snapshot_is_reported_and_rebuilt(log: EventLog) -> None:
    assert differences(log, log.projections) == []
    right = _rows(log)
    wrong = encode(Counter(name="a"))
    with log.database.write() as connection:
        this = aggregate_snapshot.c.originator_version == 20
        connection.execute(update(aggregate_snapshot).where(this).values(state=wrong))
    (found,) = differences(log, log.projections)
    assert found.key == {"originator_id": str(A), "originator_version": 20}
    assert [*found.columns] == ["state"]
    rebuild(log, log.projections)
    assert _rows(log) == right


def test_missing_snapshots_and_those_of_other_code_are_no_difference_and_a_rebuild_makes_them(
    log: EventLog,
) -> None:
    right = _rows(log)
    assert [version for version, *_ in right] == [10, 20, 30]
    change_all(log, fingerprint="other code", state=b"?")
    with log.database.write() as connection:
        connection.execute(delete(aggregate_snapshot).where(aggregate_snapshot.c.originator_version == 20))
    assert differences(log, log.projections) == []
    rebuild(log, log.projections)
    assert _rows(log) == right


def _rows(log: EventLog) -> list[tuple[object, ...]]:
    of = aggregate_snapshot.c
    query = select(of.originator_version, of.fingerprint, of.state).order_by(of.originator_version)
    with log.database.read() as connection:
        return [tuple(row) for row in connection.execute(query)]


def _golden_states() -> Iterator[Aggregate]:
    """A subject of each kind, and an account, after each event that there ever was."""
    state: Aggregate | None = None
    for topic in topics():
        state = golden(topic).mutate(None if place(topic)[1] == 1 else state)
        assert state is not None
        yield state


def test_a_snapshot_has_every_state_as_it_was() -> None:
    for state in _golden_states():
        again = decode(get_topic(type(state)), encode(state))
        assert again == state
        assert {name: type(each) for name, each in vars(again).items()} == {
            name: type(each) for name, each in vars(state).items()
        }
