"""The protections of the relay, each of which can be switched off: an invariant must then fail."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, bindparam, delete, insert, select

from application import reactions
from eventstore.jobs import queue
from eventstore.sql.database import Database
from outbox.blobs import jobs as blob_jobs
from outbox.mirror import lanes
from outbox.mirror.tables import delivery_attempt, mirror_target
from outbox.pds.client import Pds
from outbox.pds.verdict import Verdict
from outbox.relay import batch, delivery, journal, lane_run, read_back, relay, settle
from outbox.relay.delivery import Delivery
from outbox.relay.delivery_task import DeliveryTask
from outbox.relay.result import Outcome
from outbox.threads import in_thread
from outbox.tracks.record import GENERATION
from tests.simulation import following_invariants, record_invariants, request_invariants, row_invariants

Switch = Callable[[pytest.MonkeyPatch], None]


def without_swaps(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Pds._send  # noqa: SLF001

    async def send(self: Pds, did: str, nsid: str, timeout: float, **request: Any) -> Any:
        request.get("json", {}).pop("swapRecord", None)
        return await real(self, did, nsid, timeout, **request)

    monkeypatch.setattr(Pds, "_send", send)


def without_intents(monkeypatch: pytest.MonkeyPatch) -> None:
    """An attempt is recorded when it ends: a crash before leaves no row. Our writes are still recognized by generation."""
    unwritten: dict[int, dict[str, Any]] = {}
    this = delivery_attempt.c.id == bindparam("attempt_id")

    real = journal.write_intent

    def write_intent(connection: Connection, lane: lanes.Lane, task: DeliveryTask, now: datetime) -> int:
        named = {"attempt_id": real(connection, lane, task, now)}
        row = connection.execute(select(delivery_attempt).where(this), named).one()
        unwritten[row.id] = dict(row._mapping)  # noqa: SLF001 - SQLAlchemy's way to a row's columns
        connection.execute(delete(delivery_attempt).where(this), named)
        return named["attempt_id"]

    def close_attempts(
        connection: Connection, did: str, attempt_ids: Sequence[int], verdict: Verdict, now: datetime
    ) -> None:
        for attempt_id in attempt_ids:
            connection.execute(insert(delivery_attempt), unwritten[attempt_id])
        journal.close_attempts(connection, did, attempt_ids, verdict, now)

    for module in (journal, lane_run):
        monkeypatch.setattr(module, "write_intent", write_intent)
    for module in (delivery, settle):
        monkeypatch.setattr(module, "close_attempts", close_attempts)


def without_recognition(monkeypatch: pytest.MonkeyPatch) -> None:
    """No write of ours is recognized, neither by its row nor by its generation."""
    monkeypatch.setattr(delivery, "is_our_cid", lambda *_: False)
    monkeypatch.setattr(read_back, "_is_ours", lambda *_: False)


def without_verification(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "verify", lambda *_: Outcome.SEEN)


def without_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host is doubted for each record that is not as it acknowledged it, whatever another client did."""
    monkeypatch.setattr(delivery, "acknowledged_rev", lambda *_: "zzzzzzzzzzzzz")


def without_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flight whose lease has expired records its result all the same."""

    def lock_lane(database: Database, connection: Connection, _lane: lanes.Lane) -> lanes.LockedLane:
        return lanes.LockedLane(has_no_failures=False, now=database.now(connection))

    monkeypatch.setattr(settle, "lock_lane", lock_lane)


def without_reading_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The body is read first and its generation afterwards."""
    real = Delivery.deliver

    def newest(self: Delivery, task: DeliveryTask) -> int:
        target = mirror_target.c
        with self.database.read() as connection:
            statement = select(target.desired_gen).where(target.subject_id == task.subject_id)
            return connection.execute(statement).scalar_one()

    async def deliver(self: Delivery, lane: lanes.Lane, task: DeliveryTask, timeout: float) -> Any:
        gen = await in_thread(newest, self, task)
        desired = {**task.desired, GENERATION: gen} if task.desired is not None else None
        return await real(self, lane, replace(task, gen=gen, desired=desired), timeout)

    monkeypatch.setattr(Delivery, "deliver", deliver)


def without_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (blob_jobs, lanes, queue, relay, settle):
        monkeypatch.setattr(module, "backoff", lambda _failures, **_limits: timedelta())


def without_references(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists do not hear that a record has changed, and do not go with it."""
    monkeypatch.setattr(settle, "is_listed", lambda _settled: False)
    monkeypatch.setattr(batch, "_lists_of", lambda *_: ())


def without_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reactions, "carry", lambda *_: None)


MISSED_BY: Mapping[Switch, Callable[..., object]] = {
    without_swaps: record_invariants.foreign_values_are_safe,
    without_recognition: record_invariants.waits_are_true,
    without_fence: row_invariants.stale_flights_change_nothing,
    without_proof: row_invariants.no_host_is_doubted,
    without_reading_once: record_invariants.puts_are_the_log,
    without_backoff: request_invariants.faults_cost_few_requests,
    without_verification: record_invariants.converged,
    without_intents: record_invariants.converged,
    without_references: following_invariants.lists_refer_to_the_newest,
    without_counting: following_invariants.counts_are_exact,
}
"""Each protection with the invariant that it keeps."""
MISSED_BESIDE_OTHER_KINDS = frozenset({without_references, without_counting})
"""Those that worlds of tracks alone do not have."""
MISSED_AFTER_CRASHES = frozenset({without_intents})
"""Those that only stories with crashes miss: a write of ours is known by its generation as well as by its row. What the row
alone tells is that a create may still land, after a delete even, whose relay has died or lost its lease.
"""
