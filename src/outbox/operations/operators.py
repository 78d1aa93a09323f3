"""Bulk operations of operators: pause, resume, retry, probe, redrive, unfollow, follow; each can be counted first, and is recorded in the log.

An operation on one account is recorded in that account's stream, where its owner can read it; any other in the
operator's own.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from functools import partial
from itertools import groupby
from time import monotonic
from typing import Any, Final, Self, TypeVar

import sqlalchemy as sa

from aggregates.errors import ServiceError
from aggregates.published import Subject
from eventstore.change import Envelope
from eventstore.coordination.commit_signals import announce
from eventstore.event_log import EventLog
from eventstore.sql.database import Database, count_rows
from eventstore.unit_of_work import UnitOfWork, account_of
from outbox.firehose.cursors import let_follow
from outbox.mirror import pausing
from outbox.mirror.lanes import change_lane, lock_lanes
from outbox.mirror.parking import request_probe
from outbox.mirror.requeue import queue_as_backfill, retry_uploads
from outbox.mirror.states import PROBED, LaneState, TargetState
from outbox.mirror.tables import (
    HAS_WORK,
    NEVER,
    PAST,
    SUBJECT,
    lane,
    mirror_lane,
    mirror_target,
    pds_host,
    target,
    upload,
)
from outbox.mirror.targets import change_rows
from outbox.views.failures import (
    HAS_FAILED_AGAIN,
    MAY_BE_FAILING,
    RETRIABLE,
    UPLOAD_WAITS_FOR_ATTEMPT,
    conditions,
)
from outbox.views.status import IS_ACKED, IS_OF_NEWEST, TARGETS_AT_WORK

T = TypeVar("T")
RECORDS_PER_UNIT: Final = 500
Forget = Callable[[sa.Connection, str], int]
"""Removes what a host has shown of people without an account here; returns how many reactions that was."""

FAILED: Final = (TargetState.REJECTED, TargetState.BACKOFF)
WAITS_FOR_ATTEMPT: Final = sa.or_(
    sa.and_(MAY_BE_FAILING, ~IS_ACKED, ~IS_OF_NEWEST, target.state.in_(FAILED)), UPLOAD_WAITS_FOR_ATTEMPT
)
"""Whether a record or its upload failed, and was not tried since a redrive or a newer edit."""


class Action(StrEnum):
    PAUSE = "pause"
    RESUME = "resume"
    RETRY = "retry"
    PROBE = "probe"
    REDRIVE = "redrive"
    UNFOLLOW = "unfollow"
    FOLLOW = "follow"


@dataclass(eq=False)
class UnknownTargetError(ServiceError):
    """nothing is known of '{name}': name a DID that has a lane here, or a host with or without its scheme."""

    name: str


@dataclass(eq=False)
class CountChangedError(ServiceError):
    """{current} would change now, and not {expected} as expected; nothing was changed: count again with dry_run."""

    expected: int
    current: int


class TooWideError(ServiceError):
    """Name a DID or a host: this cannot be done to all accounts at once."""

    field = "did"
    limit = "must name an account, unless `host` names a host"


class NotOfHostError(ServiceError):
    """Name a host and no DID: whether a firehose is followed is decided for all accounts of its host."""

    field = "host"
    limit = "must name a host, and `did` no account: a firehose is that of all accounts there"


@dataclass(frozen=True)
class Selector:
    """The account or the host that an operation is for; `error` and `cause` restrict it to records that last failed so, `record` to one by its URI.

    A host may be named without its scheme.
    """

    did: str | None = None
    host: str | None = None
    error: str | None = None
    cause: str | None = None
    record: str | None = None

    @classmethod
    def named(cls, did_or_host: str) -> Self:
        return cls(did=did_or_host) if did_or_host.startswith("did:") else cls(host=did_or_host)

    @property
    def name(self) -> str:
        if (name := self.did or self.host) is None:
            raise TooWideError
        return name

    @property
    def only_host(self) -> str:
        if self.host is None or self.did is not None:
            raise NotOfHostError
        return self.host

    @property
    def filters(self) -> dict[str, Any]:
        """The filters that are set, as the log records them."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Operator:
    """The operator's envelope, and the reason that the operator gave."""

    envelope: Envelope
    reason: str | None = None


def count(database: Database, action: Action, selector: Selector) -> int:
    """Return how many accounts, hosts or, for a redrive, records the action would change, and change nothing."""
    with database.read() as connection:
        selector = known(connection, selector)
        match action:
            case Action.PAUSE:
                return pausing.would_pause(connection, selector.name)
            case Action.RESUME:
                return pausing.would_resume(connection, selector.name)
            case Action.RETRY:
                return pausing.would_retry(connection, selector.name, database.now(connection))
            case Action.PROBE:
                return count_rows(connection, *parked(selector))
            case Action.UNFOLLOW | Action.FOLLOW:
                is_other = pds_host.c.followed.is_(action is Action.UNFOLLOW)
                return count_rows(connection, pds_host.c.host == selector.only_host, is_other)
            case Action.REDRIVE:
                return _records(connection, RETRIABLE, *conditions(**selector.filters))


def progress_of(database: Database, action: Action, selector: Selector) -> tuple[int, int]:
    """Count what of an action on these accounts is not done yet, and the records of a redrive that failed again.

    Of a redrive, those are its records without an answer; of a resume or a retry, the accounts that still have something to
    send; of a pause, those whose current record is still being sent; of a probe, those not found yet. Nothing is left of others.
    """
    with database.read() as connection:
        selector = known(connection, selector)
        if action in {Action.UNFOLLOW, Action.FOLLOW}:
            return 0, 0
        if action is not Action.REDRIVE:
            which = {
                Action.PAUSE: [lane.lease_until > database.now(connection), *of_selector(selector)],
                Action.PROBE: parked(selector),
            }.get(action, [HAS_WORK, *of_selector(selector)])
            return count_rows(connection, *which, of=mirror_lane), 0
        these = of_selector(selector)
        if selector.cause is not None:  # records keep it until they succeed, or fail for another
            these.append(sa.or_(target.cause == selector.cause, upload.cause == selector.cause))
        these += conditions(record=selector.record)
        return _records(connection, WAITS_FOR_ATTEMPT, *these), _records(connection, HAS_FAILED_AGAIN, *these)


def _records(connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> int:
    found = sa.select(sa.func.count(SUBJECT.distinct())).select_from(TARGETS_AT_WORK)
    return connection.scalar(found.where(*conditions)) or 0


def sent_at_once(database: Database, selector: Selector) -> int:
    """Return for how many accounts a resume sends at once what waits, whether or not they were paused."""
    with database.read() as connection:
        name = known(connection, selector).name
        return pausing.sent_at_once(connection, name, database.now(connection))


def perform(
    log: EventLog,
    action: Action,
    selector: Selector,
    operator: Operator,
    *,
    expected: int | None = None,
    max_seconds: float = math.inf,
    forget: Forget = lambda *_: 0,
) -> int:
    """Perform the action, record it in the log, and return how many accounts, hosts or records it changed.

    A redrive ends after `max_seconds`: another one goes on with the rest. Raises CountChangedError, and changes nothing, if `count` says another number than `expected` now.
    """
    if expected is not None:
        current = count(log.database, action, selector)
        if current != expected:
            raise CountChangedError(expected, current)
    if action is not Action.REDRIVE:
        return _in_unit(
            log, selector, operator, lambda unit: _act_once(unit, action, selector, operator, forget)
        )
    redriven, ends = 0, monotonic() + max_seconds
    after: Subject | None = None
    while True:
        some = partial(_redrive_some, selector=selector, operator=operator, after=after)
        found, after = _in_unit(log, selector, operator, some)
        redriven += found
        if after is None or monotonic() > ends:
            return redriven


def record_operation(
    unit: UnitOfWork, action: str, which: Mapping[str, Any], operator: Operator, *, affected: int
) -> None:
    account = account_of(unit)
    account.record_operator_action(action, which, affected=affected, reason=operator.reason, at=unit.now)
    unit.save(account)


def _in_unit(log: EventLog, selector: Selector, operator: Operator, work: Callable[[UnitOfWork], T]) -> T:
    return log.transact(selector.did or operator.envelope.actor, operator.envelope, work)


def _act_once(
    unit: UnitOfWork, action: Action, selector: Selector, operator: Operator, forget: Forget
) -> int:
    connection = unit.connection
    selector = known(connection, selector)
    which = selector.filters
    match action:
        case Action.PAUSE:
            affected = pausing.pause(connection, selector.name)
        case Action.RESUME:
            affected = pausing.resume(connection, selector.name, unit.now)
        case Action.RETRY:
            affected = pausing.retry(connection, selector.name, unit.now)
        case Action.UNFOLLOW:
            affected = let_follow(connection, selector.only_host, followed=False)
            which["forgotten"] = forget(connection, selector.only_host)
        case Action.FOLLOW:
            affected = let_follow(connection, selector.only_host, followed=True)
        case _:
            dids = lock_lanes(connection, *parked(selector))
            is_gone = (lane.did.in_(dids), lane.state == LaneState.GONE)
            is_stale = (
                sa.update(mirror_lane).where(*is_gone).values(state=LaneState.STALE, missing_since=NEVER)
            )
            connection.execute(is_stale)
            for did in dids:
                request_probe(connection, did, unit.now, PROBED)
            affected = len(dids)
    record_operation(unit, action.value, which, operator, affected=affected)
    announce(connection)
    return affected


def _redrive_some(
    unit: UnitOfWork, *, selector: Selector, operator: Operator, after: Subject | None
) -> tuple[int, Subject | None]:
    """Make a batch of failing records due, behind live work; returns its size, and the subject to go on after.

    Lanes are locked in the order of their DIDs.
    """
    connection = unit.connection
    selector = known(connection, selector)
    order = (target.subject_id, target.kind)
    query = sa.select(target.did, target.kind, target.subject_id.label("subject_id")).distinct()
    query = query.select_from(TARGETS_AT_WORK).where(RETRIABLE, *conditions(**selector.filters))
    if after is not None:
        query = query.where(target.subject_id >= after.id, sa.tuple_(*order) > (after.id, after.kind))
    records = connection.execute(query.order_by(*order).limit(RECORDS_PER_UNIT)).all()
    for did, rows in groupby(sorted(records, key=lambda row: str(row.did)), key=lambda row: row.did):
        subjects = [Subject(row.kind, row.subject_id) for row in rows]
        change_lane(connection, did, not_before=PAST)
        again = {"not_before": PAST, "failed_gen": 0}
        change_rows(connection, mirror_target, did, subjects, target.state.in_(FAILED), **again)
        retry_uploads(connection, did, subjects)
        queue_as_backfill(connection, did, subjects, unit.now)
    if records or not after:
        record_operation(unit, Action.REDRIVE.value, selector.filters, operator, affected=len(records))
        announce(connection)
    last = records[-1] if len(records) == RECORDS_PER_UNIT else None
    return len(records), Subject(last.kind, last.subject_id) if last is not None else None


def parked(selector: Selector) -> list[sa.ColumnElement[bool]]:
    return [lane.state.in_((*PROBED, LaneState.GONE)), lane.host != "", *of_selector(selector)]


def of_selector(selector: Selector) -> list[sa.ColumnElement[bool]]:
    named = ((lane.did, selector.did), (lane.host, selector.host))
    return [column == name for column, name in named if name is not None]


def known(connection: sa.Connection, selector: Selector) -> Selector:
    """Return the selector with the origin of its host; raises UnknownTargetError."""
    is_known = sa.exists().where(lane.did == selector.did)
    if selector.did is not None and not connection.scalar(sa.select(is_known)):
        raise UnknownTargetError(selector.did)
    if selector.host is None:
        return selector
    name = selector.host.rstrip("/")
    origins = [name] if "://" in name else [f"https://{name}", f"http://{name}"]
    known = connection.scalars(sa.select(pds_host.c.host).where(pds_host.c.host.in_(origins))).all()
    if not known:
        raise UnknownTargetError(selector.host)
    return replace(selector, host=min(known, key=origins.index))
