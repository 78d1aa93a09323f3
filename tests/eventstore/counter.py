"""A small aggregate and its read model, for tests of the log."""

from collections.abc import Sequence
from uuid import NAMESPACE_URL, UUID, uuid5

from eventsourcing.domain import Aggregate, event
from sqlalchemy import (
    Column,
    Connection,
    Integer,
    MetaData,
    Table,
    Text,
    bindparam,
    insert,
    select,
    update,
)

from eventstore.change import Change, Envelope
from eventstore.errors import AggregateNotFoundError
from eventstore.event_log import EventLog
from eventstore.projection import Into, ProjectedTable
from eventstore.sql.prepared import Prepared
from eventstore.sql.schema import projection_state
from eventstore.unit_of_work import UnitOfWork

ALICE, BOB = "did:plc:alice", "did:plc:bob"
ENVELOPE = Envelope(actor=ALICE, via="test", request_id="r-1")
PERMIT = Prepared(lambda _: select(projection_state).where(projection_state.c.name == bindparam("name")))


class Refused(Exception):  # noqa: N818
    """The command was refused."""


class Counter(Aggregate):
    TOPIC = "test.counter"

    class Created(Aggregate.Created):
        TOPIC = "test.counter.opened.v1"
        name: str

    class Added(Aggregate.Event):
        TOPIC = "test.counter.added.v1"
        amount: int

    @event(Created)
    def __init__(self, name: str) -> None:
        self.name = name
        self.total = 0
        self.amounts: list[int] = []

    @staticmethod
    def create_id(name: str) -> UUID:
        return counter_id(name)

    @event(Added)
    def add(self, amount: int) -> None:
        self.total += amount
        self.amounts = [*self.amounts, amount]


def counter_id(name: str) -> UUID:
    return uuid5(NAMESPACE_URL, name)


class Totals:
    """One row a counter; fails at the total `fails_at`."""

    name = "totals"
    fingerprint = "1"

    def __init__(self, metadata: MetaData) -> None:
        self.table = Table(
            "totals",
            metadata,
            Column("name", Text, primary_key=True),
            Column("total", Integer, nullable=False),
            Column("note", Text),
        )
        self.tables = (ProjectedTable(self.table, derived=("total",)),)
        self.fails_at: int | None = None

    def apply(self, connection: Connection, changes: Sequence[Change], into: Into) -> None:
        totals = into(self.table)
        for change in changes:
            after = change.after
            assert isinstance(after, Counter)
            if after.total == self.fails_at:
                msg = "no room for that total"
                raise RuntimeError(msg)
            if change.before is None:
                connection.execute(insert(totals).values(name=after.name, total=after.total))
            else:
                row = update(totals).where(totals.c.name == after.name)
                connection.execute(row.values(total=after.total))


def append(log: EventLog, name: str, *amounts: int, did: str = ALICE) -> None:
    """Open the counter unless it is there, and add."""

    def work(unit: UnitOfWork) -> None:
        try:
            counter = unit.load(Counter, counter_id(name))
        except AggregateNotFoundError:
            counter = Counter(name=name)
        for amount in amounts:
            counter.add(amount)
        unit.save(counter)

    log.transact(did, ENVELOPE, work)


def counter_in(log: EventLog, name: str = "a") -> Counter:
    """Return Alice's counter, folded from its events."""
    with log.database.read() as connection:
        counter = log.fold(Counter, log.stream(connection, ALICE, counter_id(name)))
    assert counter is not None
    return counter
