"""What operators do to many accounts at once: pause, resume, try again. Counted first if they like, and in the log for ever.

What is done to one account stands in that account's stream, where its owner reads it too; what is done to a host or to
everybody in the operator's own.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from functools import partial
from itertools import groupby
from typing import Any, Final, TypeVar

from sqlalchemy import ColumnElement, Connection, func, select, update

from eventstore.account_stream import account_of
from eventstore.commit_signals import announce
from eventstore.database import Database
from eventstore.envelope import Envelope
from eventstore.event_log import EventLog
from eventstore.unit_of_work import UnitOfWork
from outbox.mirror import pausing
from outbox.mirror.lanes import GONE
from outbox.mirror.parking import PROBED, probe_now
from outbox.mirror.requeue import backfill
from outbox.mirror.tables import PAST, blob_job, mirror_lane, mirror_target, pds_host
from outbox.views.failures import RETRIABLE, has_error
from outbox.views.status import TARGETS_AT_WORK

T = TypeVar("T")
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

    def __init__(self) -> None:
        super().__init__()
        self.field = "did"
        self.limit = "must name an account, unless `host` names a host"


@dataclass(frozen=True)
class Which:
    """Whom an action is for; records with this error alone, where one is named."""

    did: str | None = None
    host: str | None = None
    error: str | None = None

    @property
    def name(self) -> str:
        """Return the account, otherwise the host."""
        if (name := self.did or self.host) is None:
            raise TooWideError
        return name

    @property
    def told(self) -> dict[str, Any]:
        """Return the filter as the log records it."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Operator:
    """Who acts, through what, and why."""

    envelope: Envelope
    reason: str | None = None


def count(database: Database, action: Action, which: Which) -> int:
    """Return how many accounts, or for a redrive records, the action would change, and change nothing."""
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
                failing = (
                    select(func.count(target.track_id.distinct()))
                    .select_from(TARGETS_AT_WORK)
                    .where(*_failing(which))
                )
                return connection.scalar(failing) or 0


def perform(log: EventLog, action: Action, which: Which, operator: Operator) -> int:
    """Do it, have the log say who did and why, and return how much it changed."""
    if action is not Action.REDRIVE:
        return _in_unit(log, which, operator, lambda unit: _act_once(unit, action, which, operator))
    redriven = 0
    after: int | None = 0
    while after is not None:
        some = partial(_redrive_some, which=which, operator=operator, after=after)
        found, after = _in_unit(log, which, operator, some)
        redriven += found
    return redriven


def note(
    unit: UnitOfWork, action: str, which: Mapping[str, Any], operator: Operator, *, affected: int
) -> None:
    """Have the log say what an operator did, in the stream of the account whose unit this is."""
    account = account_of(unit)
    account.record_operator_action(action, which, affected=affected, reason=operator.reason, at=unit.now)
    unit.save(account)


def _in_unit(log: EventLog, which: Which, operator: Operator, work: Callable[[UnitOfWork], T]) -> T:
    return log.transact(which.did or operator.envelope.actor, operator.envelope, work)


def _act_once(unit: UnitOfWork, action: Action, which: Which, operator: Operator) -> int:
    connection = unit.connection
    _require_known(connection, which)
    affected = _act(connection, action, which, unit.now)
    note(unit, action.value, which.told, operator, affected=affected)
    announce(connection)
    return affected


def _act(connection: Connection, action: Action, which: Which, now: datetime) -> int:
    if action is Action.PAUSE:
        return pausing.pause(connection, which.name)
    if action is Action.RESUME:
        return pausing.resume(connection, which.name, now)
    parked = select(lane.did).where(*_parked(which)).order_by(lane.did).with_for_update()
    dids = connection.scalars(parked).all()
    for did in dids:
        probe_now(connection, did, now, operator=True)
    return len(dids)


def _redrive_some(
    unit: UnitOfWork, *, which: Which, operator: Operator, after: int
) -> tuple[int, int | None]:
    """Make some failing records due again, behind what is live, and say how far that was; lanes go in one order."""
    connection = unit.connection
    _require_known(connection, which)
    records = _some_failing(connection, which, after)
    for did, rows in groupby(sorted(records, key=lambda row: str(row.did)), key=lambda row: row.did):
        _redrive_account(connection, did, [row.track_id for row in rows], unit.now)
    if records or not after:
        note(unit, Action.REDRIVE.value, which.told, operator, affected=len(records))
        announce(connection)
    return len(records), records[-1].track_id if len(records) == RECORDS_AT_ONCE else None


def _some_failing(connection: Connection, which: Which, after: int) -> Sequence[Any]:
    return connection.execute(
        select(target.did, target.track_id)
        .distinct()
        .select_from(TARGETS_AT_WORK)
        .where(*_failing(which), target.track_id > after)
        .order_by(target.track_id)
        .limit(RECORDS_AT_ONCE)
    ).all()


def _redrive_account(connection: Connection, did: str, track_ids: Sequence[int], now: datetime) -> None:
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
