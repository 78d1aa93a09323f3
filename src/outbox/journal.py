"""The journal of attempts: written before the first byte is sent, closed when the answer is known.

An attempt that a crash left open still says what may have landed.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, bindparam, insert, select, update

from eventstore.database import Database
from outbox.lanes import Lane, LeaseLostError, lock_lane
from outbox.pds import RecordKey
from outbox.tables import delivery_attempt
from outbox.targets import CHANGE_TARGET, PUT, of_target
from outbox.verdict import Kind, Verdict
from outbox.work import Work

attempt = delivery_attempt.c
CANCELLED: Final = "cancelled"
"""The outcome of a record that came and went before the PDS heard of it."""
ADOPTED: Final = "adopted"
"""The outcome of a generation that says what somebody else had written: nothing was sent."""
ACKING: Final = (Kind.DONE.value, CANCELLED, ADOPTED)
"""The outcomes that say what became of events, for ever."""

# Made once: making these takes longer than running them, and every delivery does.
_INTENT: Final = insert(delivery_attempt).returning(attempt.id)
_END: Final = update(delivery_attempt).where(attempt.id == bindparam("attempt_id"))


def intend(database: Database, lane: Lane, work: Work) -> int:
    """Note what is about to be sent and give the attempt's id; raises LeaseLostError when it must not be sent."""
    with database.write() as connection:
        lock_lane(connection, lane)
        now = database.now(connection)
        if lane.lease_until <= now:  # nobody has come yet, but may while the request is on its way
            raise LeaseLostError
        connection.execute(CHANGE_TARGET, {**of_target(work.key), "ever_sent": True})
        attempt_id: int = connection.execute(_INTENT, _row(lane, work, now)).scalar_one()
        return attempt_id


def note_unsent(connection: Connection, lane: Lane, work: Work, now: datetime, outcome: str) -> None:
    """Note that nothing had to be sent, so that the generation is accounted for."""
    row = {**_row(lane, work, now), "ended_at": now, "outcome": outcome}
    connection.execute(insert(delivery_attempt), row)


def note_adopted(connection: Connection, key: RecordKey, gen: int, cid: str, now: datetime) -> None:
    """Note that a generation is what somebody else had written, so that what it superseded is accounted for."""
    ended = {"epoch": 0, "started_at": now, "ended_at": now, "outcome": ADOPTED}
    row = {**vars(key), "gen": gen, "op": PUT, "request_cid": cid, **ended}
    connection.execute(insert(delivery_attempt), row)


def conclude(connection: Connection, attempt_id: int, verdict: Verdict, now: datetime) -> None:
    """Note how the attempt ended."""
    rev = verdict.rev if verdict.kind is Kind.DONE else None
    end = {"ended_at": now, "outcome": verdict.kind.value, "status": verdict.status, "error": verdict.error}
    connection.execute(_END, {"attempt_id": attempt_id, **end, "rev": rev})


def our_cids(connection: Connection, key: RecordKey) -> set[str]:
    """Give the CIDs that this service ever meant to write under the key."""
    return set(
        connection.scalars(
            select(attempt.request_cid).where(
                attempt.did == key.did,
                attempt.collection == key.collection,
                attempt.rkey == key.rkey,
                attempt.request_cid.is_not(None),
                attempt.outcome.is_distinct_from(ADOPTED),
            )
        )
    )


@dataclass(frozen=True)
class LatePuts:
    """The creates that may land after a delete, which makes their swap true again; that of an edit it ends for good."""

    unanswered: datetime | None
    """When the newest was sent whose end is not known."""
    answered: bool
    """Whether there are others: a copy of one may be on its way."""

    def __bool__(self) -> bool:
        return self.unanswered is not None or self.answered


def puts_since(connection: Connection, key: RecordKey, since: datetime) -> LatePuts:
    """Give the puts of a record that were sent after this and can come late."""
    rows = connection.execute(
        select(attempt.started_at, attempt.outcome).where(
            attempt.did == key.did,
            attempt.collection == key.collection,
            attempt.rkey == key.rkey,
            attempt.op == PUT,
            attempt.swap_cid.is_(None),
            attempt.started_at > since,
            attempt.outcome.is_distinct_from(Kind.NOT_SENT.value),
        )
    ).all()
    open_ends = (None, Kind.AMBIGUOUS.value)
    unanswered = [row.started_at for row in rows if row.outcome in open_ends]
    return LatePuts(max(unanswered, default=None), answered=len(unanswered) < len(rows))


def _row(lane: Lane, work: Work, now: datetime) -> dict[str, Any]:
    return {
        "did": work.key.did,
        "collection": work.key.collection,
        "rkey": work.key.rkey,
        "gen": work.gen,
        "op": work.op,
        "request_cid": work.request_cid,
        "swap_cid": work.base,
        "epoch": lane.epoch,
        "started_at": now,
    }
