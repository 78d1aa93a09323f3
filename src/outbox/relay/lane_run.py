"""A lane run: one relay delivers a claimed lane's due targets, for as long as its lease and its share of time allow.

1. read: `next_task` reads the lane's next due target and its track from one statement (delivery_task.py).
2. deliver: record the intent, send, and after InvalidSwap read back (delivery.py, journal.py, read_back.py).
3. settle: the result goes into log, target, lane and attempt in one transaction, fenced by the lane's epoch (settle.py).
4. repeat, until nothing is due, the run's share is used, or the result concerns the whole lane.
5. release the lane, due when its next target is (mirror/lanes.py).
"""

import logging
from collections import Counter
from collections.abc import Callable
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from eventstore.errors import EventStoreError
from eventstore.event_log import EventLog
from outbox.metrics import RelayMetrics
from outbox.mirror.host_state import HostReport
from outbox.mirror.hosts import Hosts
from outbox.mirror.lanes import Lane, LeaseLostError, release, release_after_error
from outbox.pds.verdict import verdict_of_fault
from outbox.record.record import RecordUrls
from outbox.relay.delivery import Delivery
from outbox.relay.delivery_task import DeliveryTask, UnreadableTargetError, next_task
from outbox.relay.lease_clock import LeaseClock
from outbox.relay.result import Outcome, Result
from outbox.relay.settle import settle
from outbox.threads import in_thread

logger = logging.getLogger("mastertape.outbox")

MAX_RECORDS_PER_RUN: Final = 20
MAX_BACKFILL_RECORDS_PER_RUN: Final = 5
"""Fewer, so that a host's only lane is soon free for live work."""
MAX_RUN_SECONDS: Final = 10.0
"""No delivery begins later in a run."""
EXPECTED_OUTCOMES: Final = frozenset({Outcome.DELIVERED, Outcome.CANCELLED, Outcome.SEEN, Outcome.SETTLING})
"""Logged at debug level; all others at warning level."""


class LaneRunner:
    """Runs claimed lanes; `is_stopping` ends a run after the delivery in flight, `on_settled` is called after each."""

    def __init__(
        self,
        log: EventLog,
        delivery: Delivery,
        urls: RecordUrls,
        hosts: Hosts,
        metrics: RelayMetrics,
        *,
        is_stopping: Callable[[], bool],
        on_settled: Callable[[], object],
    ) -> None:
        self._log = log
        self._delivery = delivery
        self._urls = urls
        self._hosts = hosts
        self._metrics = metrics
        self._is_stopping = is_stopping
        self._on_settled = on_settled

    async def run(self, lane: Lane, lease: LeaseClock) -> Counter[Outcome]:
        """Deliver the lane's due targets and release it; counts the outcomes. Raises nothing but cancellation."""
        outcomes: Counter[Outcome] = Counter()
        try:
            await self._deliver_due(lane, lease, outcomes)
            await in_thread(release, self._log.database, lane)
        except LeaseLostError as lost:
            logger.warning("lease_lost", extra=lane.log_fields)
            self._metrics.lease_lost(fenced=isinstance(lost, _FencedError))
        except Exception:
            logger.exception("turn_failed", extra=lane.log_fields)
            await self._release_after_error(lane)
        return outcomes

    async def _deliver_due(self, lane: Lane, lease: LeaseClock, outcomes: Counter[Outcome]) -> None:
        done: list[int] = []
        records = MAX_BACKFILL_RECORDS_PER_RUN if lane.backfill else MAX_RECORDS_PER_RUN
        while self._may_deliver(lease) and len(done) < records:
            result = await self._deliver_next(lane, lease, done)
            if result is None:
                return
            done.append(result.task.track_id)
            await self._settle(lane, result)
            outcomes[result.outcome] += 1
            if result.ends_run:
                return

    def _may_deliver(self, lease: LeaseClock) -> bool:
        return not self._is_stopping() and lease.age < MAX_RUN_SECONDS and lease.seconds_left_to_send() > 0

    async def _deliver_next(self, lane: Lane, lease: LeaseClock, done: list[int]) -> Result | None:
        """Deliver one target; None when none is due. A fault of its own fails this target and not the lane."""
        try:
            task = await in_thread(self._next_task, lane, done)
        except UnreadableTargetError as error:
            logger.exception("target_unreadable", extra=lane.log_fields)
            return Result(error.task, Outcome.FAILED, verdict_of_fault(error))
        if task is None:
            return None
        try:
            return await self._delivery.deliver(lane, task, lease.seconds_left_to_send())
        except (LeaseLostError, SQLAlchemyError, EventStoreError):
            raise
        except Exception as error:
            logger.exception("delivery_failed", extra=lane.log_fields)
            return Result(task, Outcome.FAILED, verdict_of_fault(error))

    def _next_task(self, lane: Lane, done: list[int]) -> DeliveryTask | None:
        with self._log.database.read() as connection:
            now = self._log.database.now(connection)
            return next_task(self._log, lane, self._urls, now, done)

    async def _settle(self, lane: Lane, result: Result) -> None:
        try:
            await in_thread(self._settle_and_report, lane, result)
        except LeaseLostError:
            raise _FencedError from None
        self._on_settled()
        self._metrics.settled(result)
        if result.is_mismatch:
            logger.error("cid_mismatch", extra={**lane.log_fields, **_mismatch_fields(result)})
        level = logging.DEBUG if result.outcome in EXPECTED_OUTCOMES else logging.WARNING
        logger.log(level, "settled", extra={**lane.log_fields, **_result_fields(result)})

    def _settle_and_report(self, lane: Lane, result: Result) -> None:
        """Settle, then update the host's row: in one thread, so that a cancelled run does both or neither."""
        try:
            report = settle(self._log, lane, result)
        except Exception:  # the host's limits hold, although nothing was settled
            self._hosts.record_if_changed(HostReport.of_limits(lane.host, lane.did, result.verdict))
            raise
        if report is not None:
            self._hosts.record(report)

    async def _release_after_error(self, lane: Lane) -> None:
        try:
            await in_thread(release_after_error, self._log.database, lane)
        except LeaseLostError:
            pass
        except Exception:  # the lease expires
            logger.exception("lane_not_given_back", extra=lane.log_fields)


def _mismatch_fields(result: Result) -> dict[str, object]:
    task = result.task
    return {"uri": task.key.uri, "expected": task.request_cid, "returned": result.confirmed_cid}


def _result_fields(result: Result) -> dict[str, object]:
    task, verdict = result.task, result.verdict
    facts = {"uri": task.key.uri, "generation": task.gen, "outcome": result.outcome.value}
    return {**facts, "kind": verdict.kind.value, "error": verdict.error, "status": verdict.status}


class _FencedError(LeaseLostError):
    """The lease was lost between the claim and the settling of a result, which is dropped."""
