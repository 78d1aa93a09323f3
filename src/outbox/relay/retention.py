"""How long attempts are kept. What acknowledges a generation, and the last word on a record, stay for ever."""

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, and_, bindparam, case, delete, exists, func, not_, select

from eventstore.database import Database
from eventstore.schema import UtcDateTime
from outbox.mirror.tables import delivery_attempt, mirror_target
from outbox.pds.verdict import Kind
from outbox.relay.journal import ACKING

KEPT: Final = timedelta(days=30)
FAILURES_KEPT: Final = timedelta(days=180)
FAILURES: Final = (
    Kind.REJECTED,
    Kind.BROKEN,
    Kind.BLOB_MISSING,
    Kind.SIGN_IN,
    Kind.INACTIVE,
    Kind.MOVED,
)
"""What somebody had to do something about; an outage, a limit or a swap that had changed went by itself."""
IDS_AT_ONCE: Final = 5000

attempt: Final = delivery_attempt.c
target: Final = mirror_target.c
later: Final = delivery_attempt.alias("later")


def prune_attempts(database: Database) -> int:
    """Delete what nobody needs any more, a stretch of the journal at a time, and return how much it was."""
    pruned = after = 0
    with database.read() as connection:
        now = database.now(connection)
        last = connection.scalar(_LAST, {"before": now - KEPT}) or 0
    while after < last:
        with database.write() as connection:
            pruned += connection.execute(_PRUNE, _window(now, after)).rowcount
        after += IDS_AT_ONCE
    return pruned


def _window(now: datetime, after: int) -> dict[str, object]:
    times = {"before": now - KEPT, "failures_before": now - FAILURES_KEPT}
    return {**times, "after": after, "until": after + IDS_AT_ONCE}


def _same_record(other: object) -> ColumnElement[bool]:
    names = ("did", "collection", "rkey")
    return and_(*(getattr(other, name) == attempt[name] for name in names))


_TIME: Final = UtcDateTime()
_IS_ACK: Final = func.coalesce(attempt.outcome, "").in_(ACKING)
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
    not_(_IS_ACK),
    not_(_IS_UNACKED),
    not_(_IS_LAST),
)
