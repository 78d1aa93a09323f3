"""What operators do to many accounts at once: pause, resume, try again. Counted first if they like, and written down for ever."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from itertools import groupby
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, Integer, Table, Text, func, insert, select, update

from eventstore.database import Database
from eventstore.schema import Json, Position, UtcDateTime, metadata
from eventstore.wakeups import announce
from outbox import pausing
from outbox.failures import RETRIABLE, has_error
from outbox.lanes import GONE
from outbox.parking import PROBED, probe_now
from outbox.status import TARGETS_AT_WORK
from outbox.tables import PAST, blob_job, mirror_lane, mirror_target, pds_host
from outbox.wishes import backfill

operator_action: Final = Table(
    "operator_action",
    metadata,
    Column("id", Position, primary_key=True, autoincrement=True),
    Column("at", UtcDateTime, nullable=False),
    Column("did", Text),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("filter", Json, nullable=False),
    Column("affected", Integer),  # none: under way, or cut off
    Column("reason", Text),
    sqlite_autoincrement=True,
)
RECORDS_AT_ONCE: Final = 500

lane: Final = mirror_lane.c
target: Final = mirror_target.c


class Action(StrEnum):
    """What can be done to many at once."""

    PAUSE = "pause"
    RESUME = "resume"
    PROBE = "probe"
    REDRIVE = "redrive"


class OperatorError(Exception):
    """What an operator asked for cannot be done."""

    def __str__(self) -> str:
        return super().__str__() or type(self).__doc__ or ""


class UnknownTargetError(OperatorError):
    """There is no such account, and no such host."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"nothing is known of {name!r}: name a DID that has a lane here, or the origin of a host"
        )


class TooWideError(OperatorError):
    """Name a DID or a host: this is not done to everybody at once."""


@dataclass(frozen=True)
class Which:
    """Whom an action is for; records with this error alone, where one is named."""

    did: str | None = None
    host: str | None = None
    error: str | None = None

    @property
    def name(self) -> str:
        """Give the account or else the host."""
        if (name := self.did or self.host) is None:
            raise TooWideError
        return name


@dataclass(frozen=True)
class Operator:
    """Who acts, and why."""

    actor: str
    reason: str | None = None


def count(database: Database, action: Action, which: Which) -> int:
    """Give how many accounts, or for a redrive records, the action would change, and change nothing."""
    with database.read() as connection:
        _require_known(connection, which)
        match action:
            case Action.PAUSE:
                return pausing.would_pause(connection, which.name)
            case Action.RESUME:
                return pausing.would_resume(connection, which.name)
            case Action.PROBE:
                return connection.scalar(select(func.count()).where(*_parked(which))) or 0
            case Action.REDRIVE:
                failing = select(func.count()).select_from(TARGETS_AT_WORK).where(*_failing(which))
                return connection.scalar(failing) or 0


def perform(database: Database, action: Action, which: Which, operator: Operator) -> int:
    """Do it, write down who did and why, and give how much it changed."""
    with database.write() as connection:
        _require_known(connection, which)
        row = _begun(connection, database, action, which, operator)
        if action is not Action.REDRIVE:
            affected = _act(connection, database, action, which)
            announce(connection)
            _ended(connection, row, affected)
            return affected
    affected = _redrive(database, which)
    with database.write() as connection:
        _ended(connection, row, affected)
    return affected


def _begun(
    connection: Connection, database: Database, action: Action, which: Which, operator: Operator
) -> int:
    row = {
        "at": database.now(connection),
        "did": which.did,
        "actor": operator.actor,
        "action": action.value,
        "filter": {name: value for name, value in asdict(which).items() if value is not None},
        "reason": operator.reason,
    }
    begun: int = connection.execute(
        insert(operator_action).values(row).returning(operator_action.c.id)
    ).scalar_one()
    return begun


def _ended(connection: Connection, row: int, affected: int) -> None:
    this = operator_action.c.id == row
    connection.execute(update(operator_action).where(this).values(affected=affected))


def _act(connection: Connection, database: Database, action: Action, which: Which) -> int:
    now = database.now(connection)
    if action is Action.PAUSE:
        return pausing.pause(connection, which.name, now)
    if action is Action.RESUME:
        return pausing.resume(connection, which.name, now)
    parked = select(lane.did).where(*_parked(which)).order_by(lane.did).with_for_update()
    dids = connection.scalars(parked).all()
    for did in dids:
        probe_now(connection, did, now, operator=True)
    return len(dids)


def _redrive(database: Database, which: Which) -> int:
    """Make failing records due again, behind what is live, in one transaction for each account."""
    redriven = after = 0
    while records := _some_failing(database, which, after):
        after = records[-1].track_id
        for did, rows in groupby(sorted(records, key=lambda row: str(row.did)), key=lambda row: row.did):
            redriven += _redrive_account(database, did, [row.track_id for row in rows])
    return redriven


def _some_failing(database: Database, which: Which, after: int) -> Sequence[Any]:
    with database.read() as connection:
        return connection.execute(
            select(target.did, target.track_id)
            .select_from(TARGETS_AT_WORK)
            .where(*_failing(which), target.track_id > after)
            .order_by(target.track_id)
            .limit(RECORDS_AT_ONCE)
        ).all()


def _redrive_account(database: Database, did: str, track_ids: Sequence[int]) -> int:
    with database.write() as connection:
        now = database.now(connection)
        connection.execute(update(mirror_lane).where(lane.did == did).values(not_before=PAST))
        these = (target.did == did, target.track_id.in_(track_ids))
        connection.execute(
            update(mirror_target)
            .where(*these, target.state.in_(("rejected", "backoff")))
            .values(not_before=PAST, failed_gen=0)
        )
        jobs = (blob_job.c.did == did, blob_job.c.track_id.in_(track_ids))
        connection.execute(update(blob_job).where(*jobs).values(not_before=PAST))
        backfill(connection, did, track_ids, now)
        announce(connection)
        return len(track_ids)


def _parked(which: Which) -> list[ColumnElement[bool]]:
    return [lane.state.in_((*PROBED, GONE)), lane.host != "", *_whose(which)]


def _failing(which: Which) -> list[ColumnElement[bool]]:
    error = [] if which.error is None else [has_error(which.error)]
    return [RETRIABLE, *error, *_whose(which)]


def _whose(which: Which) -> list[ColumnElement[bool]]:
    named = ((lane.did, which.did), (lane.host, which.host))
    return [column == name for column, name in named if name is not None]


def _require_known(connection: Connection, which: Which) -> None:
    for column, name in ((lane.did, which.did), (pds_host.c.host, which.host)):
        if name is not None and connection.scalar(select(column).where(column == name)) is None:
            raise UnknownTargetError(name)
