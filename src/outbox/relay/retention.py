"""Deletes old attempts; the first that acknowledges a generation with a CID, and the last of each record, stay for ever."""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, and_, bindparam, case, delete, exists, func, not_, or_, select

from eventstore.database import Database
from eventstore.schema import UtcDateTime
from outbox.mirror.tables import delivery_attempt, mirror_target
from outbox.pds.verdict import Kind
from outbox.relay.journal import ACKNOWLEDGING

ATTEMPTS_TTL: Final = timedelta(days=30)
FAILURES_TTL: Final = timedelta(days=180)
FAILURES: Final = (
    Kind.REJECTED,
    Kind.BROKEN,
    Kind.BLOB_MISSING,
    Kind.SIGN_IN,
    Kind.INACTIVE,
    Kind.FULL,
    Kind.MOVED,
)
"""The failures that a person had to act on; outages, rate limits and changed swaps pass by themselves."""
IDS_PER_STATEMENT: Final = 5000

attempt: Final = delivery_attempt.c
target: Final = mirror_target.c
later: Final = delivery_attempt.alias("later")
earlier: Final = delivery_attempt.alias("earlier")


def prune_attempts(database: Database) -> int:
    """Delete expired attempts, a range of ids at a time; returns how many."""
    pruned = after = 0
    with database.read() as connection:
        now = database.now(connection)
        last = connection.scalar(_LAST, {"before": now - ATTEMPTS_TTL}) or 0
    while after < last:
        with database.write() as connection:
            pruned += connection.execute(_PRUNE, _window(now, after)).rowcount
        after += IDS_PER_STATEMENT
    return pruned


def _window(now: datetime, after: int) -> dict[str, object]:
    times = {"before": now - ATTEMPTS_TTL, "failures_before": now - FAILURES_TTL}
    return {**times, "after": after, "until": after + IDS_PER_STATEMENT}


def _same_record(other: object) -> ColumnElement[bool]:
    names = ("did", "collection", "rkey")
    return and_(*(getattr(other, name) == attempt[name] for name in names))


_TIME: Final = UtcDateTime()
_IS_ACK: Final = func.coalesce(attempt.outcome, "").in_(ACKNOWLEDGING)
_IS_REPEATED_ACK: Final = and_(
    attempt.outcome == Kind.DONE,
    exists().where(
        _same_record(earlier.c),
        earlier.c.gen == attempt.gen,
        earlier.c.request_cid == attempt.request_cid,
        earlier.c.outcome == Kind.DONE,
        earlier.c.id < attempt.id,
    ),
)
"""Each verification of a record that was taken down makes one."""
_IS_UNACKED: Final = exists().where(_same_record(target), target.acked_gen < attempt.gen)
_IS_LAST: Final = not_(
    exists().where(_same_record(later.c), later.c.gen >= attempt.gen, later.c.id > attempt.id)
)
_LAST: Final = select(func.max(attempt.id)).where(attempt.started_at < bindparam("before", type_=_TIME))
_PRUNE: Final = delete(delivery_attempt).where(
    attempt.id > bindparam("after"),
    attempt.id <= bindparam("until"),
    attempt.started_at
    < case(
        (attempt.outcome.in_(FAILURES), bindparam("failures_before", type_=_TIME)),
        else_=bindparam("before", type_=_TIME),
    ),
    or_(not_(_IS_ACK), _IS_REPEATED_ACK),
    not_(_IS_UNACKED),
    not_(_IS_LAST),
)
