"""A run of a lane: one delivery after another, from its claim to its release.

1. begin: read the lane's next due target and its subject (delivery_task.py), and record the intent (journal.py).
2. deliver: send, and after InvalidSwap read back and send again (delivery.py, read_back.py).
3. settle: the result goes into log, target, lane and attempt in one transaction, fenced by the lane's epoch (settle.py);
   the next delivery begins in the same one. A replay's creates, and live edits that are due together, are delivered and settled together (batch.py).
4. repeat, until nothing is due, the run's share is used, or the result concerns the whole lane.
5. release the lane, due when its next target is (mirror/lanes.py), in the transaction of the last result.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass, field, replace
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from aggregates.published import Subject
from eventstore.errors import EventStoreError, LeaseLostError, NewerReleaseError, is_of_row
from eventstore.event_log import EventLog
from outbox.mirror.failure_causes import count_failure
from outbox.mirror.hosts import HostReport
from outbox.mirror.lanes import (
    NO_SUCCESS,
    Lane,
    Success,
    lock_lane,
    release,
    release_after_error,
    write_release,
)
from outbox.pds.verdict import verdict_of_fault
from outbox.ports import Tracing
from outbox.record.kind import RecordKinds
from outbox.relay.batch import BatchRun, SentBatch
from outbox.relay.delivery import Delivery
from outbox.relay.delivery_task import DeliveryTask, next_task
from outbox.relay.journal import write_intent
from outbox.relay.lease_clock import LeaseClock
from outbox.relay.read_backs import ReadBacks
from outbox.relay.result import Outcome, Result, acknowledged, log_result, written
from outbox.relay.settle import settle
from outbox.relay.slow_hosts import SlowHosts
from outbox.threads import in_thread

logger = logging.getLogger("mastertape.outbox")

RELEASE_PAUSES_SECONDS: Final = (0.0, 1.0, 2.0)
MAX_RECORDS_PER_RUN: Final = 20
MAX_BACKFILL_RECORDS_PER_RUN: Final = 5
"""Fewer, so that a host's only lane is soon free for live work."""
MAX_RUN_SECONDS: Final = 10.0
"""No delivery begins later in a run."""

OnSettled = Callable[[str, Mapping[Subject, int]], object]
"""Is called after each settled delivery with the account, and the generations of its subjects that the PDS has."""


@dataclass(eq=False)
class LaneRun:
    log: EventLog
    delivery: Delivery
    kinds: RecordKinds
    lane: Lane
    lease: LeaseClock
    _: KW_ONLY
    tracing: Tracing
    slow_hosts: SlowHosts
    read_backs: ReadBacks | None
    is_stopping: Callable[[], bool]
    on_settled: OnSettled
    begun: DeliveryTask | None = None
    """The first delivery, where it was begun with the claim."""
    _batches: BatchRun = field(init=False)
    _done: list[str] = field(init=False, default_factory=list)
    _outcomes: Counter[Outcome] = field(init=False, default_factory=Counter)
    _goes_on: bool = field(init=False, default=True)
    _success: Success = field(init=False, default=NO_SUCCESS)

    def __post_init__(self) -> None:
        self._batches = BatchRun(self.delivery, self.lane, self.kinds)

    async def run(self) -> Counter[Outcome]:
        """Deliver the lane's due targets and release it; counts the outcomes. Raises nothing but cancellation."""
        following, deliveries = self.begun, 0
        records = MAX_BACKFILL_RECORDS_PER_RUN if self.lane.backfill else MAX_RECORDS_PER_RUN
        try:
            if following is None:
                following = await in_thread(self._begin_first, may_deliver=self._may_deliver())
            while following is not None:
                delivered = await self._send(following)
                deliveries += 1
                self._done += [result.task.key.place for result in delivered.results]
                ends_run = any(result.ends_run for result in delivered.results)
                self._goes_on = not ends_run and deliveries < records and self._may_deliver()
                following = await self._settle(delivered)
        except LeaseLostError:
            logger.warning("lease_lost", extra=self.lane.log_fields)
        except Exception:
            logger.exception("lane_run_failed", extra=self.lane.log_fields)
            await self._release_after_error()
        return self._outcomes

    async def _release_after_error(self) -> None:
        """Release the lane; again in a moment, where its database was lost as well, before the lease has to expire."""
        for pause in RELEASE_PAUSES_SECONDS:
            await asyncio.sleep(pause)
            try:
                await in_thread(release_after_error, self.log.database, self.lane)
            except LeaseLostError:
                return
            except Exception:
                logger.exception("lane_not_given_back", extra=self.lane.log_fields)
            else:
                return

    def _may_deliver(self) -> bool:
        in_time = self.lease.age < MAX_RUN_SECONDS and self.lease.seconds_left_to_send() > 0
        return in_time and not self.is_stopping()

    def _begin_first(self, *, may_deliver: bool) -> DeliveryTask | None:
        database = self.log.database
        with database.write_in_pipelines() as connection:
            now = lock_lane(database, connection, self.lane).now
            first = self.begin(connection, now) if may_deliver else None
            if first is None:
                write_release(connection, self.lane, now)
            return first

    def begin(self, connection: sa.Connection, now: datetime) -> DeliveryTask | None:
        """Read the next due target and, where it begins with a write, record its intent in the same transaction.

        That holds the lane's lock, without which no event of the account's records is committed: target and events agree.
        """
        if self.lane.lease_until <= now:  # another relay may claim the lane while the request is in flight
            return None
        try:
            task = next_task(self.log, self.lane, self.kinds, now, self._done)
        except NewerReleaseError as error:  # whose relay delivers it, and what follows
            self.log.newer_release = error
            return None
        if task is None or task.fault is not None or self._batches.begins_with(task):
            return task
        try:
            begins_with_write = self.delivery.begins_with_write(task)
        except Exception:  # noqa: BLE001 - delivering it fails for that, which fails no other record
            begins_with_write = False
        return task.with_intent(write_intent(connection, self.lane, task, now)) if begins_with_write else task

    async def _send(self, task: DeliveryTask) -> Result | SentBatch:
        """Send a batch that begins with the task, or deliver it alone; learn from the answer how long the host takes."""
        now = asyncio.get_running_loop().time
        began = now()
        batch = await self._batches.send(task, self.lease.seconds_left_to_send(), self._done)
        delivered = batch or await self._deliver(task)
        if delivered.verdict.status is not None or any(each.is_answered for each in delivered.results):
            self.slow_hosts.record(self.lane.host, now() - began)
        return delivered

    async def _deliver(self, task: DeliveryTask) -> Result:
        """Deliver one target. A fault of its own fails this target and not the lane."""
        if task.fault is not None:
            return Result(task, Outcome.FAILED, verdict_of_fault(task.fault))
        try:
            with self.tracing.delivery(task) as report:
                result = await self.delivery.deliver(self.lane, task, self.lease.seconds_left_to_send())
                report(result)
                return result
        except (LeaseLostError, SQLAlchemyError, EventStoreError):
            raise
        except Exception as error:
            logger.exception("delivery_failed", extra=self.lane.log_fields)
            return Result(task, Outcome.FAILED, verdict_of_fault(error))

    async def _settle(self, delivered: Result | SentBatch) -> DeliveryTask | None:
        """Settle what was delivered and, unless the run ends, begin the next delivery in the same unit.

        Where the database cannot hold what would be settled, the delivery fails; a batch's records then go one by one.
        """
        try:
            following = await in_thread(self._settle_and_report, delivered)
        except LeaseLostError:
            self.delivery.metrics.fenced()
            raise
        except DBAPIError as error:
            if not is_of_row(error):
                raise
            logger.exception("delivery_failed", extra=self.lane.log_fields)
            delivered = _failed(delivered, error)
            following = await in_thread(self._settle_and_report, delivered)
        self.on_settled(self.lane.did, acknowledged(delivered.results))
        if self.read_backs is not None and not self.lane.is_doubted:
            self.read_backs.expect(self.lane, written(delivered.results))
        for result in delivered.results:
            self.delivery.metrics.settled(result)
            self._outcomes[result.outcome] += 1
            log_result(self.lane, result)
        return following

    def _settle_and_report(self, delivered: Result | SentBatch) -> DeliveryTask | None:
        """Settle, then update the host's row: in one thread, so that a cancelled run does both or neither.

        The lane is released with the last result, but not before its host's row shows what that says of the host.
        """
        lane = self.lane
        following: DeliveryTask | None = None

        def begin_or_release(connection: sa.Connection, now: datetime, report: HostReport | None) -> None:
            nonlocal following
            if any(result.is_answered for result in delivered.results):
                self._success = Success(now, delivered.verdict.rev or self._success.rev)
            following = self.begin(connection, now) if self._goes_on else None
            if following is None and report is None:
                write_release(connection, lane, now, self._success)

        try:
            report = settle(self.log, lane, delivered, begin_or_release)
        except Exception:  # the host's limits hold, although nothing was settled
            self.delivery.hosts.record(HostReport(lane.host, lane.did, delivered.verdict))
            raise
        if report is not None:
            self.delivery.hosts.record(report)
            if following is None:
                with suppress(LeaseLostError):  # then it is another relay's to release
                    release(self.log.database, lane, self._success)
        for result in delivered.results:
            if result.outcome is Outcome.FAILED:
                subject = result.task.subject
                count_failure(self.log.database, lane.host, result.verdict, did=lane.did, subject=subject)
        return following


def _failed(delivered: Result | SentBatch, error: DBAPIError) -> Result | SentBatch:
    verdict = verdict_of_fault(error.orig or error)
    results = [replace(each, outcome=Outcome.FAILED, verdict=verdict) for each in delivered.results]
    return (
        results[0] if isinstance(delivered, Result) else replace(delivered, verdict=verdict, results=results)
    )
