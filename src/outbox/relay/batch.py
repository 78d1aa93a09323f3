"""Reads the records of a replay that one request may create: the lane's next ones, none of which was sent before.

What a batch has tried once is never in another: whatever became of it, its records are delivered one by one.
"""

import json
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, bindparam, exists, select
from sqlalchemy.exc import SQLAlchemyError

from eventstore.change import RecordedEvent
from eventstore.event_log import EventLog
from eventstore.prepared import Prepared, among
from eventstore.schema import UtcDateTime
from outbox.mirror.due import is_open, target_due_at
from outbox.mirror.lanes import Lane
from outbox.mirror.priority import BACKFILL, CLASS, COMES_DUE, ORDER
from outbox.mirror.tables import delivery_attempt, mirror_lane, mirror_target
from outbox.mirror.targets import PLACE, PUT
from outbox.pds.client import creates_of
from outbox.pds.pacing import BACKFILL_RESERVE, CREATE_POINTS
from outbox.pds.verdict import Kind
from outbox.record.kind import RecordKinds
from outbox.relay.delivery_task import DeliveryTask, stream_of, task_of

MAX_BATCH_RECORDS: Final = 50
"""A PDS takes 200, but more than these are hardly faster, and a live edit of the account waits for them."""
MAX_BATCH_BYTES: Final = 128 * 1024
"""@atproto/pds 0.4 takes requests of 150 KB."""
WITHOUT_EFFECT: Final = (Kind.NOT_SENT, Kind.SIGN_IN, Kind.INACTIVE, Kind.FULL, Kind.MOVED)
"""Outcomes of a batch that may be made again. One over the account's limit may be over it each time."""

target: Final = mirror_target.c
attempt: Final = delivery_attempt.c


def next_batch(log: EventLog, lane: Lane, kinds: RecordKinds, done: Sequence[str]) -> list[DeliveryTask]:
    """Read the next records that the PDS does not show, as creates; one or none where there is no batch to make."""
    with log.database.read() as connection:
        now = log.database.now(connection)
        room = _room(connection, lane, now)
        wanted = {"did": lane.did, "now": now, "done": done, "room": room}
        rows = _NEXT_OF_REPLAY.start(connection, wanted).all()
        tasks = _creates(log, connection, [row for row in rows if _is_fresh_create(row)], kinds)
        return _that_fit(task for task in tasks if task.check() is None)


def _room(connection: Connection, lane: Lane, now: datetime) -> int:
    """How many creates the account's points allow, as far as its PDS has named them: live work keeps its share."""
    row = connection.execute(_BUDGETS, {"did": lane.did}).one()
    budgets = (
        (row.hour_limit, row.hour_left, row.hour_reset),
        (row.day_limit, row.day_left, row.day_reset),
    )
    points = [
        (left if reset > now else limit) - BACKFILL_RESERVE * limit
        for limit, left, reset in budgets
        if reset is not None
    ]
    return max(1, min([MAX_BATCH_RECORDS, *(int(each) // CREATE_POINTS for each in points)]))


def _is_fresh_create(row: Any) -> bool:
    return row.desired_op == PUT and row.observed_body is None and not row.was_tried


def _creates(
    log: EventLog, connection: Connection, rows: Sequence[Any], kinds: RecordKinds
) -> Iterator[DeliveryTask]:
    streams = log.streams(connection, [stream_of(row) for row in rows])
    for row in rows:
        task = _readable(log, connection, row, streams[stream_of(row)], kinds)
        if task is not None and task.is_batchable:
            yield task.on(None, None)


def _readable(
    log: EventLog, connection: Connection, row: Any, recorded: Sequence[RecordedEvent], kinds: RecordKinds
) -> DeliveryTask | None:
    """Make the task; None if it cannot be read: delivered alone, it fails for that, and no other record with it."""
    try:
        return task_of(log, connection, row, recorded, kinds)
    except SQLAlchemyError:
        raise
    except Exception:  # noqa: BLE001
        return None


def _that_fit(tasks: Iterator[DeliveryTask]) -> list[DeliveryTask]:
    found: list[DeliveryTask] = []
    size = 0
    for task in tasks:
        assert task.body is not None  # noqa: S101 - a create has one
        size += len(json.dumps(creates_of([(task.key, task.body)]), ensure_ascii=False).encode())
        if size > MAX_BATCH_BYTES:
            break
        found.append(task)
    return found


# Built once (CONTRIBUTING.md).

_BUDGETS: Final = select(mirror_lane).where(mirror_lane.c.did == bindparam("did"))
_NOW: Final = bindparam("now", type_=UtcDateTime)
_WAS_TRIED: Final = exists().where(
    attempt.did == target.did,
    attempt.collection == target.collection,
    attempt.rkey == target.rkey,
    attempt.gen == target.desired_gen,
    *(attempt.outcome.is_distinct_from(each) for each in WITHOUT_EFFECT),
)


def _next_of_replay(dialect: str) -> Any:
    return (
        select(mirror_target, is_open().label("is_open"), _WAS_TRIED.label("was_tried"))
        .where(
            target.did == bindparam("did"),
            COMES_DUE,
            CLASS == BACKFILL,
            target_due_at() <= _NOW,
            ~among(PLACE, "done", dialect),
        )
        .order_by(*ORDER)
        .limit(bindparam("room"))
    )


_NEXT_OF_REPLAY: Final = Prepared(_next_of_replay)
