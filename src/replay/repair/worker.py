"""Plans and applies repairs, one worker for each.

1. Compare the account's repo with the log.
2. A repair without a plan: store the plan, for an admin to decide on.
3. One whose plan an admin has applied: apply its steps, except where the comparison or the log differs from the plan.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from eventstore.coordination.threads import Threads
from eventstore.errors import EventStoreError
from eventstore.event_log import EventLog
from eventstore.jobs import queue
from eventstore.jobs.kinds import Failure, Job, Kind, Outcome
from eventstore.untrusted import clean
from outbox.pds.client import RemoteUnknownError
from outbox.pds.verdict import Kind as VerdictKind
from outbox.record.kind import RecordKinds
from outbox.repo.reads import RepoReads
from replay.errors import NoPdsError
from replay.reconcile.outdated import outdated_records
from replay.reconcile.verify import Verified, compare, repos_of
from replay.repair import jobs
from replay.repair.apply_plan import apply_some
from replay.repair.plan import StoredPlan, steps_in
from replay.repair.states import RepairState

MAX_CONCURRENT_REPAIRS: Final = 2
FIRST_PAUSE_SECONDS: Final = 5.0
MAX_PAUSE_SECONDS: Final = 600.0
MAX_ATTEMPTS: Final = 12
"""About an hour: an admin looks on, and may start another repair."""
MAX_PROBLEM_LENGTH: Final = 500

logger: Final = logging.getLogger("mastertape.replay")


@dataclass(frozen=True)
class RepairJobs:
    """`wake_relay` has the relay look at once for what was applied."""

    log: EventLog
    reads: RepoReads
    kinds: RecordKinds
    collection: str
    threads: Threads
    wake_relay: Callable[[], None] = lambda: None

    def kind(self) -> Kind:
        return Kind(
            jobs.REPAIR,
            self.work,
            judge,
            max_concurrent=MAX_CONCURRENT_REPAIRS,
            first_pause_seconds=FIRST_PAUSE_SECONDS,
            max_pause_seconds=MAX_PAUSE_SECONDS,
            max_attempts=MAX_ATTEMPTS,
            on_failed=lambda connection, job, problem, now: jobs.end(
                connection, job.subject, RepairState.FAILED, now, problem
            ),
        )

    async def work(self, job: Job) -> Outcome:
        """Plan or apply the account's repair; raises LeaseLostError if it is another worker's now, or was cancelled."""
        database, did, run = self.log.database, job.subject, self.threads.run
        repos = await run(repos_of, database, did, collection=self.collection)
        if not repos:
            raise NoPdsError
        outdated = partial(outdated_records, self.log, self.kinds)
        found = await compare(database, self.reads, repos[0], outdated=outdated)
        row = await run(self._row, job)
        facts = {"repair": row.id, "did": did}
        if row.state == RepairState.VERIFYING:
            await run(self._store_plan, job, found)
            counts = {"drifts": len(found.drifts), "unjudged": len(found.unjudged)}
            logger.info("repair_planned", extra=facts | counts)
            return Outcome.DONE
        steps = await run(steps_in, row.steps, did)
        drifts = {drift.key: drift for drift in found.drifts}
        apply = partial(apply_some, claimed=job, plan=steps, found=drifts, unjudged=found.unjudged)
        has_more = True
        while has_more:
            has_more = await run(self.log.transact, did, job.envelope, apply)
            self.wake_relay()
        logger.info("repair_applied", extra=facts | {"steps": len(steps)})
        return Outcome.DONE

    def _row(self, job: Job) -> Any:
        with self.log.database.write() as connection:
            repair_id = jobs.unfinished_of(connection, job).id
            return jobs.repair_of(connection, repair_id, whole=True)

    def _store_plan(self, job: Job, found: Verified) -> None:
        plan, database = StoredPlan.of(found), self.log.database
        with database.write() as connection:
            queue.require_held(connection, job)
            jobs.store_plan(connection, job.subject, plan, database.now(connection))


EXPECTED: Final = (RemoteUnknownError, NoPdsError, EventStoreError)
"""Their messages say what to do."""


def judge(error: Exception) -> Failure | None:
    """Another attempt cannot help where the account has no PDS here, or its PDS does not know it."""
    if not isinstance(error, EXPECTED):
        return None
    is_final = isinstance(error, NoPdsError)
    if isinstance(error, RemoteUnknownError):
        is_final = error.verdict.kind in {VerdictKind.REJECTED, VerdictKind.MOVED}
    return Failure(clean(error, MAX_PROBLEM_LENGTH), final=is_final)
