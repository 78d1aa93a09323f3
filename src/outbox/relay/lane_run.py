"""A lane run: one relay delivers a claimed lane's due targets, for as long as its lease and its share of time allow.

1. begin: read the lane's next due target and its subject (delivery_task.py), and record the intent (journal.py).
2. deliver: send, and after InvalidSwap read back and send again (delivery.py, read_back.py).
3. settle: the result goes into log, target, lane and attempt in one transaction, fenced by the lane's epoch (settle.py);
   the next delivery begins in the same one. A replay's creates, and live edits that are due together, are delivered and settled together (batch.py).
4. repeat, until nothing is due, the run's share is used, or the result concerns the whole lane.
5. release the lane, due when its next target is (mirror/lanes.py), in the transaction of the last result.
"""

import logging
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from eventstore.errors import EventStoreError, LeaseLostError
from eventstore.event_log import EventLog
from outbox.mirror.failure_causes import count_failure
from outbox.mirror.host_state import HostReport
from outbox.mirror.lanes import Lane, lock_lane, release, release_after_error, write_release
from outbox.pds.verdict import verdict_of_fault
from outbox.ports import Tracing
from outbox.record.kind import RecordKinds
from outbox.relay.batch import BatchRun, SentBatch
from outbox.relay.delivery import Delivery
from outbox.relay.delivery_task import DeliveryTask, LeaseClock, next_task
from outbox.relay.journal import write_intent
from outbox.relay.result import Outcome, Result, log_result
from outbox.relay.settle import settle
from outbox.threads import in_thread

logger = logging.getLogger("mastertape.outbox")

MAX_RECORDS_PER_RUN: Final = 20
MAX_BACKFILL_RECORDS_PER_RUN: Final = 5
"""Fewer, so that a host's only lane is soon free for live work."""
MAX_RUN_SECONDS: Final = 10.0
"""No delivery begins later in a run."""


@dataclass
class _Run:
    """What is known of a run after each delivery."""

    batches: BatchRun
    done: list[str] = field(default_factory=list)
    goes_on: bool = True
    succeeded_at: datetime | None = None


@dataclass(frozen=True)
class LaneRunner:
    """Runs claimed lanes; `is_stopping` ends a run after the delivery in flight, `on_settled` is called with the account after each."""

    log: EventLog
    delivery: Delivery
    kinds: RecordKinds
    tracing: Tracing
    is_stopping: Callable[[], bool]
    on_settled: Callable[[str], object]

    async def run(self, lane: Lane, lease: LeaseClock) -> Counter[Outcome]:
        """Deliver the lane's due targets and release it; counts the outcomes. Raises nothing but cancellation."""
        outcomes: Counter[Outcome] = Counter()
        try:
            await self._deliver_due(lane, lease, outcomes)
        except LeaseLostError:
            logger.warning("lease_lost", extra=lane.log_fields)
        except Exception:
            logger.exception("lane_run_failed", extra=lane.log_fields)
            try:
                await in_thread(release_after_error, self.log.database, lane)
            except LeaseLostError:
                pass
            except Exception:  # the lease expires
                logger.exception("lane_not_given_back", extra=lane.log_fields)
        return outcomes

    async def _deliver_due(self, lane: Lane, lease: LeaseClock, outcomes: Counter[Outcome]) -> None:
        run = _Run(BatchRun(self.delivery, lane, self.kinds))
        records = MAX_BACKFILL_RECORDS_PER_RUN if lane.backfill else MAX_RECORDS_PER_RUN
        following = await in_thread(self._begin_first, lane, run, may_deliver=self._may_deliver(lease))
        deliveries = 0
        while following is not None:
            batch = await run.batches.send(following, lease.seconds_left_to_send(), run.done)
            delivered = batch or await self._deliver(lane, following, lease)
            deliveries += 1
            run.done += [result.task.key.place for result in delivered.results]
            ends_run = any(result.ends_run for result in delivered.results)
            run.goes_on = not ends_run and deliveries < records and self._may_deliver(lease)
            following = await self._settle(lane, delivered, run)
            outcomes.update(result.outcome for result in delivered.results)

    def _may_deliver(self, lease: LeaseClock) -> bool:
        return not self.is_stopping() and lease.age < MAX_RUN_SECONDS and lease.seconds_left_to_send() > 0

    def _begin_first(self, lane: Lane, run: _Run, *, may_deliver: bool) -> DeliveryTask | None:
        database = self.log.database
        with database.write() as connection:
            now = lock_lane(database, connection, lane).now
            first = self._begin(connection, lane, now, run) if may_deliver else None
            if first is None:
                write_release(connection, lane, now)
            return first

    def _begin(self, connection: Connection, lane: Lane, now: datetime, run: _Run) -> DeliveryTask | None:
        """Read the next due target and, where it begins with a write, record its intent in the same transaction.

        That holds the lane's lock, without which no event of the account's records is committed: target and events agree.
        """
        if lane.lease_until <= now:  # another relay may claim the lane while the request is in flight
            return None
        task = next_task(self.log, lane, self.kinds, now, run.done)
        if task is None or task.fault is not None or run.batches.begins_with(task):
            return task
        try:
            begins_with_write = self.delivery.begins_with_write(task)
        except Exception:  # noqa: BLE001 - delivering it fails for that, which fails no other record
            begins_with_write = False
        return replace(task, intent=write_intent(connection, lane, task, now)) if begins_with_write else task

    async def _deliver(self, lane: Lane, task: DeliveryTask, lease: LeaseClock) -> Result:
        """Deliver one target. A fault of its own fails this target and not the lane."""
        if task.fault is not None:
            return Result(task, Outcome.FAILED, verdict_of_fault(task.fault))
        try:
            with self.tracing.delivery(task) as report:
                result = await self.delivery.deliver(lane, task, lease.seconds_left_to_send())
                report(result)
                return result
        except (LeaseLostError, SQLAlchemyError, EventStoreError):
            raise
        except Exception as error:
            logger.exception("delivery_failed", extra=lane.log_fields)
            return Result(task, Outcome.FAILED, verdict_of_fault(error))

    async def _settle(self, lane: Lane, delivered: Result | SentBatch, run: _Run) -> DeliveryTask | None:
        """Settle what was delivered and, unless the run ends, begin the next delivery in the same unit."""
        try:
            following = await in_thread(self._settle_and_report, lane, delivered, run)
        except LeaseLostError:
            self.delivery.metrics.fenced()
            raise
        self.on_settled(lane.did)
        for result in delivered.results:
            self.delivery.metrics.settled(result)
            log_result(lane, result)
        return following

    def _settle_and_report(self, lane: Lane, delivered: Result | SentBatch, run: _Run) -> DeliveryTask | None:
        """Settle, then update the host's row: in one thread, so that a cancelled run does both or neither.

        The lane is released with the last result, but not before its host's row shows what that says of the host.
        """
        following: DeliveryTask | None = None

        def begin_or_release(connection: Connection, now: datetime, report: HostReport | None) -> None:
            nonlocal following
            if any(result.is_answered for result in delivered.results):
                run.succeeded_at = now
            following = self._begin(connection, lane, now, run) if run.goes_on else None
            if following is None and report is None:
                write_release(connection, lane, now, run.succeeded_at)

        try:
            report = settle(self.log, lane, delivered, begin_or_release)
        except Exception:  # the host's limits hold, although nothing was settled
            self.delivery.hosts.record(HostReport(lane.host, lane.did, delivered.verdict))
            raise
        if report is not None:
            self.delivery.hosts.record(report)
            if following is None:
                with suppress(LeaseLostError):  # then it is another relay's to release
                    release(self.log.database, lane, run.succeeded_at)
        for result in delivered.results:
            if result.outcome is Outcome.FAILED:
                subject = result.task.subject
                count_failure(self.log.database, lane.host, result.verdict, did=lane.did, subject=subject)
        return following
