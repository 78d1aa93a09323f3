"""Plans and applies repairs in any number of processes, one worker for each repair.

1. Claim a repair that is due, and compare its account's repo with the log.
2. One without a plan: store the plan, for an admin to decide on.
3. One whose plan an admin has applied: apply its steps, except where the comparison or the log differs from the plan.
"""

import asyncio
import logging
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Final

from eventstore.coordination.threads import Threads
from eventstore.errors import EventStoreError
from eventstore.event_log import EventLog
from eventstore.foreign_text import clean
from outbox.mirror.lanes import LeaseLostError
from outbox.pds.client import RemoteUnknownError
from outbox.pds.verdict import Kind
from outbox.record.record import RecordUrls
from outbox.repo.reads import RepoReads
from replay.errors import NoPdsError
from replay.reconcile.outdated import outdated_records
from replay.reconcile.plan import Step
from replay.reconcile.verify import Verified, compare, repos_of
from replay.repair import jobs
from replay.repair.apply_plan import apply_some
from replay.repair.jobs import RepairJob
from replay.repair.states import RepairState
from replay.repair.stored_plan import StoredPlan, steps_in
from replay.worker_loop import WorkerLoop, claimed_by, while_leased

MAX_CONCURRENT_REPAIRS: Final = 2
MAX_PROBLEM_LENGTH: Final = 500

logger: Final = logging.getLogger("mastertape.replay")


class RepairWorker:
    """`run` works beside the relay, which sends what was applied; `wake_relay` has it look for that at once."""

    def __init__(
        self,
        log: EventLog,
        reads: RepoReads,
        urls: RecordUrls,
        collection: str,
        threads: Threads,
        *,
        owner: str,
        lease: timedelta,
        wake_relay: Callable[[], None] = lambda: None,
    ) -> None:
        self._log: Final = log
        self._reads: Final = reads
        self._outdated: Final = partial(outdated_records, log, urls)
        self._collection: Final = collection
        self._threads: Final = threads
        self._owner: Final = owner
        self._lease: Final = lease
        self._wake_relay: Final = wake_relay
        self._loop: Final = WorkerLoop[int](
            self.start_due,
            logger=logger,
            claim_failed="repair_claim_failed",
            not_settled="repair_not_settled",  # its lease expires, and it is continued
        )
        """Of each repair that runs, its id."""

    def wake(self) -> None:
        """Poll for work at once; callable from any thread."""
        self._loop.wake()

    async def run(self) -> None:
        """Work until cancelled; repairs that are running then are released, so that another process continues them."""
        await self._loop.run()

    async def run_once(self) -> None:
        """Do all that is due."""
        await self.start_due()
        while self._loop.running:
            await asyncio.wait({*self._loop.running})
            await self.start_due()

    async def start_due(self) -> None:
        while len(self._loop.running) < MAX_CONCURRENT_REPAIRS:
            claimed = await self._claim()
            if claimed is None:
                return
            self._loop.start(self._run(claimed), claimed.id)

    async def _claim(self) -> RepairJob | None:
        claim = self._threads.run(
            jobs.claim,
            self._log.database,
            owner=self._owner,
            lease=self._lease,
            running=set(self._loop.running.values()),
        )
        return await claimed_by(claim, self._release)

    async def _release(self, claimed: RepairJob) -> None:
        await self._threads.run(jobs.release, self._log.database, claimed)

    async def _extend(self, claimed: RepairJob) -> bool:
        return await self._threads.run(jobs.extend, self._log.database, claimed, self._lease)

    async def _run(self, claimed: RepairJob) -> None:
        try:
            await while_leased(self._work(claimed), partial(self._extend, claimed), logger, _named(claimed))
        except asyncio.CancelledError:
            await self._release(claimed)
            raise
        except LeaseLostError:
            logger.info("repair_lost", extra=_named(claimed))  # cancelled, or another worker's
        except Exception as error:  # noqa: BLE001 - the row shows it to operators, whatever it was
            await self._fail(claimed, error)

    async def _work(self, claimed: RepairJob) -> None:
        found = await self._verified(claimed.did)
        if claimed.state is RepairState.VERIFYING:
            await self._plan(claimed, found)
        else:
            await self._apply(claimed, found)

    async def _verified(self, did: str) -> Verified:
        database = self._log.database
        repos = await self._threads.run(repos_of, database, did, collection=self._collection)
        if not repos:
            raise NoPdsError
        return await compare(database, self._reads, repos[0], outdated=self._outdated)

    async def _plan(self, claimed: RepairJob, found: Verified) -> None:
        plan = await self._threads.run(StoredPlan.of, found.drifts)
        await self._threads.run(jobs.store_plan, self._log.database, claimed, plan, records=found.records)
        logger.info("repair_planned", extra={**_named(claimed), "drifts": len(found.drifts)})

    async def _apply(self, claimed: RepairJob, found: Verified) -> None:
        steps = await self._threads.run(self._steps, claimed)
        drifts = {drift.key: drift for drift in found.drifts}
        work = partial(apply_some, claimed=claimed, plan=steps, found=drifts, unjudged=found.unjudged)
        has_more = True
        while has_more:
            has_more = await self._threads.run(self._log.transact, claimed.did, claimed.envelope, work)
            self._wake_relay()
        logger.info("repair_applied", extra={**_named(claimed), "steps": len(steps)})

    def _steps(self, claimed: RepairJob) -> tuple[Step, ...]:
        with self._log.database.read() as connection:
            row = jobs.repair_of(connection, claimed.id, whole=True)
        if row is None:
            raise LeaseLostError
        return steps_in(row.steps, row.did)

    async def _fail(self, claimed: RepairJob, error: Exception) -> None:
        if isinstance(error, EXPECTED):
            problem = clean(error, MAX_PROBLEM_LENGTH)
        else:
            logger.error("repair_failed", exc_info=error, extra=_named(claimed))
            problem = f"internal error: {type(error).__name__}; see the log `repair_failed`"
        await self._threads.run(jobs.fail, self._log.database, claimed, problem, final=_is_final(error))


EXPECTED: Final = (RemoteUnknownError, NoPdsError, EventStoreError)
"""Their messages say what to do."""


def _named(claimed: RepairJob) -> dict[str, object]:
    return {"repair": claimed.id, "did": claimed.did}


def _is_final(error: Exception) -> bool:
    """Whether another attempt cannot help: the account has no PDS here, or its PDS does not know it."""
    if isinstance(error, RemoteUnknownError):
        return error.verdict.kind in {Kind.REJECTED, Kind.MOVED}
    return isinstance(error, NoPdsError)
