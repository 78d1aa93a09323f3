"""Random commands of two processes, whose knowledge is out of date again and again, against a plain account of them."""

from dataclasses import dataclass, field
from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select, update

from eventstore.errors import AggregateNotFoundError, OutdatedProjectionError, VersionConflictError
from eventstore.event_log import EventLog
from eventstore.sql.schema import projection_state
from eventstore.unit_of_work import UnitOfWork
from tests.eventstore.counter import (
    ALICE,
    BOB,
    ENVELOPE,
    PERMIT,
    Counter,
    Refused,
    Totals,
    append,
    counter_id,
)

MOST = 12


@dataclass
class Add:
    """Add to a counter in one process, and open it first; what would be more than MOST is refused."""

    process: int
    did: str
    name: str
    adds: list[int]
    reads: bool

    @property
    def counter(self) -> str:
        return self.name + self.did


@dataclass
class Plain:
    """What must come of it."""

    amounts: dict[str, list[int]] = field(default_factory=dict)
    permitted: bool = True
    current: bool = True

    def add(self, command: Add) -> bool:
        """Return whether the command is accepted."""
        if not self.current or not self.permitted:
            return False
        before = self.amounts.get(command.counter, [])
        if sum(before) + sum(command.adds) > MOST:
            return False
        self.amounts[command.counter] = before + command.adds
        return True


COMMANDS = st.builds(
    Add,
    process=st.integers(0, 1),
    did=st.sampled_from([ALICE, ALICE, BOB]),
    name=st.sampled_from("ab"),
    adds=st.lists(st.integers(1, 3), max_size=2),
    reads=st.booleans(),
)
STEPS = st.lists(st.one_of(COMMANDS, COMMANDS, COMMANDS, st.sampled_from(["permit", "version"])), max_size=14)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(steps=STEPS)
def test_two_processes_do_what_one_that_forgets_everything_would(
    log: EventLog, totals: Totals, steps: list[Add | str]
) -> None:
    run, plain = uuid4().hex, Plain()
    logs = [EventLog(log.database, projections=[totals]) for _ in range(2)]
    put_back(log, totals)
    for step in steps:
        if isinstance(step, Add):
            assert accepted(logs[step.process], step, run) == plain.add(step)
        elif step == "permit":
            plain.permitted = not plain.permitted
            permit(log, granted=plain.permitted)
        else:
            plain.current = not plain.current
            write_version(log, totals.fingerprint if plain.current else "other")
    with log.database.read() as connection:
        for name, did in ((name + did, did) for name in "ab" for did in (ALICE, BOB)):
            stream = log.stream(connection, did, counter_id(run + name))
            assert [each.version for each in stream] == list(range(1, len(stream) + 1))
            counter = log.fold(Counter, stream)
            assert (counter.amounts if counter else None) == plain.amounts.get(name)
            row = connection.scalar(select(totals.table.c.total).where(totals.table.c.name == run + name))
            assert row == (sum(plain.amounts[name]) if name in plain.amounts else None)


def accepted(log: EventLog, command: Add, run: str) -> bool:
    def work(unit: UnitOfWork) -> None:
        if not unit.finds(PERMIT.query(name="permit"), expected=True):
            raise Refused
        try:
            counter = unit.load(Counter, counter_id(run + command.counter))
        except AggregateNotFoundError:
            counter = Counter(name=run + command.counter)
        if counter.total + sum(command.adds) > MOST:
            raise Refused
        for amount in command.adds:
            counter.add(amount)
        if command.reads:
            assert unit.connection.in_transaction()
        unit.save(counter)

    try:
        log.transact(command.did, ENVELOPE, work)
    except (Refused, OutdatedProjectionError, VersionConflictError):
        return False
    return True


def put_back(log: EventLog, totals: Totals) -> None:
    with log.database.write() as connection:
        connection.execute(delete(projection_state))
    append(EventLog(log.database), "any")
    with log.database.write() as connection:
        connection.execute(insert(projection_state).values(name="totals", fingerprint=totals.fingerprint))
    permit(log, granted=True)


def permit(log: EventLog, *, granted: bool) -> None:
    with log.database.write() as connection:
        if granted:
            connection.execute(insert(projection_state).values(name="permit", fingerprint="-"))
        else:
            connection.execute(delete(projection_state).where(projection_state.c.name == "permit"))


def write_version(log: EventLog, version: str) -> None:
    with log.database.write() as connection:
        this = projection_state.c.name == "totals"
        connection.execute(update(projection_state).where(this).values(fingerprint=version))
