"""Sends the creates of a replay together, fenced by the repo's newest commit, so that any other write there refuses them all.

1. read the next records (batch.py), and the repo's newest commit, unless the run's batch before has just made it.
2. commit the intents of all of them.
3. send them with applyWrites and swapCommit.
4. after a success all are settled at once; an answer that concerns the whole lane is settled as one failure; after any
   other nothing is settled: the lane run goes on with the same records, one by one.
"""

import logging
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from eventstore.database import Database
from eventstore.errors import EventStoreError, LeaseLostError
from eventstore.event_log import EventLog
from outbox.metrics import RelayMetrics
from outbox.mirror.host_state import HostReport
from outbox.mirror.hosts import Hosts
from outbox.mirror.lanes import Lane
from outbox.mirror.namespace_moves import Namespaces
from outbox.mirror.targets import PUT
from outbox.pds.client import WRITE_TIMEOUT_SECONDS, Pds, RemoteUnknownError
from outbox.pds.verdict import UNREADABLE, Kind, Verdict
from outbox.record.dag_cbor import is_record_cid
from outbox.record.kind import RecordKinds
from outbox.relay.batch import WITHOUT_EFFECT, next_batch
from outbox.relay.delivery_task import DeliveryTask
from outbox.relay.journal import record_intents
from outbox.relay.lease_clock import Deadline
from outbox.relay.result import Outcome, Result
from outbox.repo.reads import RepoReads
from outbox.threads import in_thread

logger = logging.getLogger("mastertape.outbox")

MAX_READ_SECONDS: Final = 5.0
"""A slower PDS is sent its records one by one: the run needs its time for that."""
OF_LANE: Final = (*WITHOUT_EFFECT, Kind.PACED)
"""Answers that concern the whole lane."""
REFUSED: Final = "batch: "
"""Before the name of the error, since it may be that of any record of the batch."""


@dataclass(frozen=True)
class SentBatch:
    """A batch that was sent: how all its attempts end, and what is settled of its records."""

    attempt_ids: Sequence[int]
    verdict: Verdict
    results: Sequence[Result] = ()


class Batches:
    """Makes the batches of lane runs; holds no transaction, lock or thread while a request is in flight."""

    def __init__(
        self,
        database: Database,
        hosts: Hosts,
        pds: Pds,
        *,
        namespaces: Namespaces,
        metrics: RelayMetrics,
    ) -> None:
        self.database: Final = database
        self.namespaces: Final = namespaces
        self.reads: Final = RepoReads(pds, list_seconds=MAX_READ_SECONDS)
        self.hosts: Final = hosts
        self.pds: Final = pds
        self.metrics: Final = metrics

    def of_run(self, log: EventLog, lane: Lane, kinds: RecordKinds) -> "BatchRun":
        """Return what makes the batches of one lane run."""
        return BatchRun(self, log, lane, kinds)


class BatchRun:
    """The batches of one lane run: each swaps on the commit that the one before it made."""

    def __init__(self, batches: Batches, log: EventLog, lane: Lane, kinds: RecordKinds) -> None:
        self._batches = batches
        self._log = log
        self._lane = lane
        self._kinds = kinds
        self._newest_commit: str | None = None
        self._old_keys: AbstractSet[str] = frozenset()
        """What the old collection holds at the commit that the next batch swaps on."""
        self._is_given_up = False
        """Whether the PDS did not say what a batch has to know."""

    async def send(self, first: DeliveryTask, seconds: float, done: Sequence[str]) -> SentBatch | None:
        """Send the records that are next with `first`, within `seconds`; None if it is to be delivered alone.

        Raises LeaseLostError.
        """
        swap, self._newest_commit = self._newest_commit, None
        if not first.is_batchable or self._is_given_up or self._is_in_old_collection(first):
            return None
        try:
            return await self._send_next(first, swap, Deadline(seconds), done)
        except (LeaseLostError, SQLAlchemyError, EventStoreError):
            raise
        except RemoteUnknownError:
            self._is_given_up = True
            return None
        except Exception:  # it fails no lane: delivered alone, the records show which of them it is
            logger.exception("batch_failed", extra=self._lane.log_fields)
            return None

    async def _send_next(
        self, first: DeliveryTask, swap: str | None, deadline: Deadline, done: Sequence[str]
    ) -> SentBatch | None:
        tasks = await in_thread(next_batch, self._log, self._lane, self._kinds, done)
        if not _is_batch_of(first, tasks):
            return None
        if swap is None:
            swap = await self._read_newest_commit(deadline)
            self._old_keys = await self._read_old_keys()
        tasks = [task for task in tasks if not self._is_in_old_collection(task)]
        if not _is_batch_of(first, tasks):
            return None
        attempt_ids = await in_thread(record_intents, self._batches.database, self._lane, tasks)
        verdict = await self._send(tasks, swap, deadline.within(WRITE_TIMEOUT_SECONDS))
        return self._sent(tasks, attempt_ids, verdict)

    async def _read_newest_commit(self, deadline: Deadline) -> str:
        lane = self._lane
        verdict = await self._batches.pds.newest_commit(
            lane.host, lane.did, timeout=deadline.within(MAX_READ_SECONDS)
        )
        report = HostReport.of_limits(lane.host, lane.did, verdict)
        await in_thread(self._batches.hosts.record_if_changed, report)
        if verdict.kind is Kind.DONE and verdict.cid is not None and is_record_cid(verdict.cid):
            return verdict.cid
        raise RemoteUnknownError(verdict)

    async def _read_old_keys(self) -> AbstractSet[str]:
        """Read what must not be restored beside: the swap refuses the batch if it changes after the commit was read."""
        old = self._batches.namespaces.old
        records = self._batches.reads.records(self._lane.host, self._lane.did, old)
        return {str(entry.rkey) async for entry in records}

    def _is_in_old_collection(self, task: DeliveryTask) -> bool:
        place = self._batches.namespaces.old_place(task.key)
        return place is not None and place.rkey in self._old_keys

    async def _send(self, tasks: Sequence[DeliveryTask], swap: str, timeout: float) -> Verdict:
        lane = self._lane
        records = [(task.key, task.body) for task in tasks if task.body is not None]
        verdict = await self._batches.pds.create(
            lane.host, lane.did, records, swap_commit=swap, timeout=timeout
        )
        for _ in tasks:
            self._batches.metrics.attempted(PUT, verdict)
        return verdict

    def _sent(self, tasks: Sequence[DeliveryTask], attempt_ids: Sequence[int], verdict: Verdict) -> SentBatch:
        if verdict.kind is Kind.DONE and (made := _made(verdict, len(tasks))) is not None:
            self._newest_commit, cids = made
            results = [
                Result(task, Outcome.DELIVERED, replace(verdict, body={"cid": cid}), attempt_id)
                for task, attempt_id, cid in zip(tasks, attempt_ids, cids, strict=True)
            ]
            return SentBatch(attempt_ids, verdict, results)
        if verdict.kind in OF_LANE or verdict.status is None:
            return SentBatch(attempt_ids, verdict, [Result(tasks[0], Outcome.FAILED, verdict)])
        logger.info("batch_refused", extra={**self._lane.log_fields, "error": verdict.error})
        return SentBatch(attempt_ids, _refusal(verdict))


def _is_batch_of(first: DeliveryTask, tasks: Sequence[DeliveryTask]) -> bool:
    return len(tasks) > 1 and tasks[0].key == first.key


def _made(verdict: Verdict, records: int) -> tuple[str, list[str]] | None:
    """Return the commit that a batch of creates made, and the CIDs of its records; None if the PDS does not say."""
    match verdict.body:
        case {"commit": {"cid": str(commit)}, "results": list(results)} if is_record_cid(commit):
            cids = [each.get("cid") for each in results if isinstance(each, dict)]
            known = [cid for cid in cids if isinstance(cid, str) and is_record_cid(cid)]
            return (commit, known) if len(known) == records else None
    return None


def _refusal(verdict: Verdict) -> Verdict:
    """How the attempts of a refused batch end: the PDS has applied none of it, if the answer is its own."""
    is_own = not verdict.concerns_host and verdict.kind is not Kind.DONE
    kind = Kind.READ_BACK if is_own else Kind.AMBIGUOUS
    return replace(verdict, kind=kind, error=f"{REFUSED}{verdict.error or UNREADABLE}")
