"""The journal of attempts: each is committed before its request is sent, and closed when the answer is known.

An attempt that a crash left open still says what may have landed.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa

from eventstore.errors import LeaseLostError
from eventstore.sql.database import Database
from eventstore.sql.prepared import Prepared, among
from eventstore.sql.schema import UtcDateTime
from eventstore.streams.buckets import bucket_param
from outbox.mirror.lanes import Lane, lock_lane
from outbox.mirror.states import UnsentOutcome
from outbox.mirror.tables import IS_ATTEMPT_OF_TARGET, attempt, delivery_attempt, mirror_lane, target
from outbox.mirror.targets import CHANGE_TARGET, PUT, of_target
from outbox.pds.client import RecordKey
from outbox.pds.verdict import OK, PARKS, Kind, Verdict
from outbox.relay.delivery_task import DeliveryTask

ACKNOWLEDGING: Final = (Kind.DONE.value, *UnsentOutcome)
"""The outcomes that acknowledge a generation; their rows are never deleted."""

MIN_SAME_SERVER_ERRORS: Final = 3
"""How often in a row a PDS must answer a record with the same 500 before the record is rejected."""

# Built once (CONTRIBUTING.md).
_SENT: Final = (
    *RecordKey.__dataclass_fields__,
    "gen",
    "op",
    "request_cid",
    "swap_cid",
    "epoch",
    "started_at",
)
_INTENT: Final = Prepared(lambda _: sa.insert(delivery_attempt).returning(attempt.id), _SENT)
_INTENTS: Final = sa.insert(delivery_attempt).returning(attempt.id, attempt.collection, attempt.rkey)
_OF_TARGET: Final = sa.and_(
    attempt.did == sa.bindparam("of_did"),
    attempt.collection == sa.bindparam("of_collection"),
    attempt.rkey == sa.bindparam("of_rkey"),
)
_NEWEST: Final = (
    sa.select(attempt.id, attempt.gen, attempt.status, attempt.error)
    .where(_OF_TARGET)
    .order_by(attempt.gen.desc(), attempt.id.desc())
    .limit(MIN_SAME_SERVER_ERRORS)
)
_OTHERS_TAKEN: Final = (
    sa.select(attempt.id)
    .join(mirror_lane, mirror_lane.c.did == attempt.did)
    .where(
        mirror_lane.c.host == sa.bindparam("host"),
        attempt.id > sa.bindparam("since"),
        attempt.outcome == Kind.DONE.value,
        attempt.status == OK,
        ~_OF_TARGET,
    )
    .limit(1)
)
_IS_OUR_CID: Final = (
    sa.select(attempt.id)
    .where(
        _OF_TARGET,
        attempt.request_cid == sa.bindparam("cid"),
        attempt.outcome.is_distinct_from(UnsentOutcome.ADOPTED),
    )
    .order_by(attempt.gen.desc(), attempt.id.desc())
    .limit(1)
)
_ACKNOWLEDGED_REV: Final = (
    sa.select(attempt.rev, mirror_lane.c.acked_rev)
    .join(mirror_lane, mirror_lane.c.did == attempt.did)
    .where(_OF_TARGET, attempt.rev.is_not(None))
    .order_by(attempt.gen.desc(), attempt.id.desc())
    .limit(1)
)
_IS_ADOPTED_CID: Final = (
    sa.select(attempt.id)
    .where(_OF_TARGET, attempt.request_cid == sa.bindparam("cid"), attempt.outcome == UnsentOutcome.ADOPTED)
    .limit(1)
)
_IS_UNANSWERED: Final = sa.or_(attempt.outcome.is_(None), attempt.outcome == Kind.AMBIGUOUS.value)
_UNANSWERED_PUT: Final = sa.select(sa.func.max(attempt.started_at)).where(
    _OF_TARGET, attempt.op == PUT, _IS_UNANSWERED
)
_IS_CREATE: Final = sa.and_(_OF_TARGET, attempt.op == PUT, attempt.swap_cid.is_(None))
_CREATES: Final = sa.select(attempt.started_at, attempt.outcome).where(
    _IS_CREATE,
    attempt.started_at > sa.bindparam("since"),
    attempt.outcome.is_distinct_from(Kind.NOT_SENT.value),
)
_UNANSWERED_CREATE: Final = (
    sa.select(attempt.request_cid)
    .where(
        _IS_CREATE,
        attempt.request_cid.is_not(None),
        _IS_UNANSWERED,
    )
    .order_by(attempt.id.desc())
    .limit(1)
)
_END_COLUMNS: Final = ("ended_at", "outcome", "status", "error", "rev")
_OF_ACCOUNT: Final = sa.update(delivery_attempt).where(attempt.bucket == bucket_param("did"))
_IS_THIS: Final = attempt.id == sa.bindparam("attempt_id")
_END: Final = Prepared(lambda _: _OF_ACCOUNT.where(_IS_THIS), _END_COLUMNS)
_END_OF_BATCH: Final = Prepared(
    lambda dialect: _OF_ACCOUNT.where(among(attempt.id, "attempt_ids", dialect)), _END_COLUMNS
)
ENDING: Final = (
    sa.update(delivery_attempt)
    .where(attempt.bucket == bucket_param("of_did"), _IS_THIS)
    .values({name: sa.bindparam(f"attempt_{name}", type_=attempt[name].type) for name in _END_COLUMNS})
    .cte("ended")
)
"""Ends an attempt in the statement that changes its target, where the database can: on Citus each is a round trip."""


def record_intents(database: Database, lane: Lane, tasks: Sequence[DeliveryTask]) -> list[int]:
    """Commit what is about to be sent; returns the attempts' ids. Raises LeaseLostError when it must not be sent."""
    with database.write_in_pipelines() as connection:
        now = lock_lane(database, connection, lane).now
        if lane.lease_until <= now:  # another relay may claim the lane while the request is in flight
            raise LeaseLostError
        if len(tasks) == 1:
            return [write_intent(connection, lane, tasks[0], now)]
        rows = connection.execute(_INTENTS, [_row(lane, task, now) for task in tasks])
        ids = {(row.collection, row.rkey): row.id for row in rows}
        return [ids[task.key.collection, task.key.rkey] for task in tasks]


def write_intent(connection: sa.Connection, lane: Lane, task: DeliveryTask, now: datetime) -> int:
    """Write the intent in a transaction that holds the lane's lock; returns the attempt's id."""
    if not task.ever_sent:
        connection.execute(CHANGE_TARGET, {**of_target(task.key), "ever_sent": True})
    [row] = _INTENT.start(connection, _row(lane, task, now)).all()
    attempt_id: int = row.id
    return attempt_id


def record_unsent(
    connection: sa.Connection,
    lane: Lane,
    task: DeliveryTask,
    now: datetime,
    outcome: str,
    *,
    rev: str | None = None,
) -> None:
    """Record a generation for which nothing had to be sent; `rev` names the commit that has it, if one of ours is known to."""
    row = {**_row(lane, task, now), "ended_at": now, "outcome": outcome, "rev": rev}
    connection.execute(sa.insert(delivery_attempt), row)


def record_adopted(connection: sa.Connection, key: RecordKey, gen: int, cid: str, now: datetime) -> None:
    """Record a generation that another client had written already; what it supersedes is accounted for by it."""
    ended = {"epoch": 0, "started_at": now, "ended_at": now, "outcome": UnsentOutcome.ADOPTED}
    row = {**vars(key), "gen": gen, "op": PUT, "request_cid": cid, **ended}
    connection.execute(sa.insert(delivery_attempt), row)


def close_attempts(
    connection: sa.Connection, did: str, attempt_ids: Sequence[int], verdict: Verdict, now: datetime
) -> None:
    end = {"did": did, **_end(verdict, now)}
    if len(attempt_ids) == 1:
        _END.start(connection, {"attempt_id": attempt_ids[0], **end})
    elif attempt_ids:
        _END_OF_BATCH.start(connection, {"attempt_ids": attempt_ids, **end})


def ending(attempt_id: int, verdict: Verdict, now: datetime) -> dict[str, Any]:
    return {"attempt_id": attempt_id, **{f"attempt_{name}": it for name, it in _end(verdict, now).items()}}


def _end(verdict: Verdict, now: datetime) -> dict[str, Any]:
    rev = verdict.rev if verdict.kind is Kind.DONE else None
    return dict(zip(_END_COLUMNS, (now, verdict.kind.value, verdict.status, verdict.error, rev), strict=True))


def is_fault_of_record_alone(
    connection: sa.Connection, host: str, task: DeliveryTask, verdict: Verdict
) -> bool:
    """Whether the PDS fails on this record alone: the same 500 each time, while it took other records."""
    if (first := first_of_same_errors(connection, task, verdict)) is None:
        return False
    since = {"host": host, "since": first}
    return connection.scalar(_OTHERS_TAKEN, {**of_target(task.key), **since}) is not None


def first_of_same_errors(connection: sa.Connection, task: DeliveryTask, verdict: Verdict) -> int | None:
    """The id of the first of the last attempts, if each ended with this 500."""
    if not verdict.is_fault_of_record:
        return None
    attempts = connection.execute(_NEWEST, of_target(task.key)).all()
    same = (task.gen, verdict.status, verdict.error)
    if len(attempts) < MIN_SAME_SERVER_ERRORS or any(
        (row.gen, row.status, row.error) != same for row in attempts
    ):
        return None
    first: int = attempts[-1].id
    return first


def is_our_cid(connection: sa.Connection, key: RecordKey, cid: str | None) -> bool:
    return connection.scalar(_IS_OUR_CID, {**of_target(key), "cid": cid}) is not None


def acknowledged_rev(connection: sa.Connection, key: RecordKey) -> str | None:
    """Return the revision of the newest commit of this record that the account's present PDS has acknowledged; None if it is not known."""
    row = connection.execute(_ACKNOWLEDGED_REV, of_target(key)).one_or_none()
    return row.rev if row is not None and row.rev <= (row.acked_rev or "") else None


def is_adopted_cid(connection: sa.Connection, key: RecordKey, cid: str | None) -> bool:
    return connection.scalar(_IS_ADOPTED_CID, {**of_target(key), "cid": cid}) is not None


def unanswered_put(connection: sa.Connection, key: RecordKey) -> datetime | None:
    """Return when the newest put was sent that was not answered."""
    newest: datetime | None = connection.scalar(_UNANSWERED_PUT, of_target(key))
    return newest


def unanswered_create(connection: sa.Connection, key: RecordKey) -> str | None:
    return connection.scalar(_UNANSWERED_CREATE, of_target(key))


def late_creates(
    connection: sa.Connection, key: RecordKey, since: datetime
) -> tuple[Sequence[datetime], datetime | None]:
    """Return when creates of a record were sent after `since`, and the newest of them that was not answered.

    They may still land after a delete, which makes their swap match again, and of answered ones a duplicate.
    """
    rows = connection.execute(_CREATES, {**of_target(key), "since": since}).all()
    unanswered = [row.started_at for row in rows if row.outcome in {None, Kind.AMBIGUOUS.value}]
    return [row.started_at for row in rows], max(unanswered, default=None)


def _row(lane: Lane, task: DeliveryTask, now: datetime) -> dict[str, Any]:
    return {
        **vars(task.key),
        "gen": task.gen,
        "op": task.op,
        "request_cid": task.request_cid,
        "swap_cid": task.base,
        "epoch": lane.epoch,
        "started_at": now,
    }


ATTEMPTS_TTL: Final = timedelta(days=30)
FAILURES_TTL: Final = timedelta(days=180)
FAILURES: Final = (*PARKS, Kind.REJECTED, Kind.BROKEN, Kind.BLOB_MISSING)
"""The failures that a person had to act on; outages, rate limits and changed swaps pass by themselves."""
IDS_PER_STATEMENT: Final = 5000

later: Final = delivery_attempt.alias("later")
earlier: Final = delivery_attempt.alias("earlier")


def prune_attempts(database: Database) -> int:
    """Delete expired attempts, a range of ids at a time; returns how many.

    The first that acknowledges a generation with a CID, and the last of each record, stay for ever.
    """
    pruned = after = 0
    with database.read() as connection:
        now = database.now(connection)
        expired = {"before": now - ATTEMPTS_TTL, "failures_before": now - FAILURES_TTL}
        last = connection.scalar(_LAST, {"before": now - ATTEMPTS_TTL}) or 0
    while after < last:
        with database.write() as connection:
            window = {"after": after, "until": after + IDS_PER_STATEMENT}
            pruned += connection.execute(_PRUNE, {**expired, **window}).rowcount
        after += IDS_PER_STATEMENT
    return pruned


def _same_record(other: object) -> sa.ColumnElement[bool]:
    names = ("did", "collection", "rkey")
    return sa.and_(*(getattr(other, name) == attempt[name] for name in names))


_TIME: Final = UtcDateTime()
_IS_ACK: Final = sa.func.coalesce(attempt.outcome, "").in_(ACKNOWLEDGING)
_IS_REPEATED_ACK: Final = sa.and_(
    attempt.outcome == Kind.DONE,
    sa.exists().where(
        _same_record(earlier.c),
        earlier.c.gen == attempt.gen,
        earlier.c.request_cid == attempt.request_cid,
        earlier.c.outcome == Kind.DONE,
        earlier.c.id < attempt.id,
    ),
)
"""Each verification of a record that was taken down makes one."""
_IS_UNACKED: Final = sa.exists().where(IS_ATTEMPT_OF_TARGET, target.acked_gen < attempt.gen)
_IS_LAST: Final = sa.not_(
    sa.exists().where(_same_record(later.c), later.c.gen >= attempt.gen, later.c.id > attempt.id)
)
_LAST: Final = sa.select(sa.func.max(attempt.id)).where(
    attempt.started_at < sa.bindparam("before", type_=_TIME)
)
_PRUNE: Final = sa.delete(delivery_attempt).where(
    attempt.id > sa.bindparam("after"),
    attempt.id <= sa.bindparam("until"),
    attempt.started_at
    < sa.case(
        (attempt.outcome.in_(FAILURES), sa.bindparam("failures_before", type_=_TIME)),
        else_=sa.bindparam("before", type_=_TIME),
    ),
    sa.or_(sa.not_(_IS_ACK), _IS_REPEATED_ACK),
    sa.not_(_IS_UNACKED),
    sa.not_(_IS_LAST),
)
