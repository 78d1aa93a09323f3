"""Plans and applies repairs, one worker for each.

1. Compare the account's repo with the log.
2. A repair without a plan: store the plan, for an admin to decide on.
3. One whose plan an admin has applied: apply its steps, some in each unit, except where the comparison or the log differs from
   the plan. They commit with the progress of their repair, so that another process continues where one was killed.
"""

import logging
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from aggregates.lists.track_list import TrackList
from aggregates.published import Published, Subject
from eventstore.coordination.commit_signals import announce
from eventstore.coordination.threads import Threads
from eventstore.event_log import EventLog
from eventstore.jobs import queue
from eventstore.jobs.kinds import Job, Kind, Outcome
from eventstore.unit_of_work import UnitOfWork
from eventstore.untrusted import clean
from outbox.lists.newest import references_of
from outbox.lists.references import refresh_behind
from outbox.mirror.lanes import hold_lane
from outbox.mirror.requeue import create_again, queue_as_backfill, reverify
from outbox.pds.client import RecordKey
from outbox.record.kind import RecordKinds
from outbox.repo.reads import RepoReads
from replay.errors import NoPdsError
from replay.reconcile.drift import Drift, DriftKind, Expected, Repair
from replay.reconcile.outdated import outdated_records
from replay.reconcile.verify import Verified, Verifier, expected_of, judge, repos_of
from replay.repair import jobs
from replay.repair.jobs import RepairState, SkipReason
from replay.repair.plan import columns_of, steps_in

STEPS_PER_UNIT: Final = 100
RESTORED: Final = frozenset({Repair.RESTORE})
REFRESHED: Final = frozenset({Repair.REFRESH})
REVERIFIED: Final = frozenset({Repair.REWRITE, Repair.DELETE, Repair.REVERIFY})
MAX_CONCURRENT_REPAIRS: Final = 2
FIRST_PAUSE_SECONDS: Final = 5.0
MAX_PAUSE_SECONDS: Final = 600.0
MAX_ATTEMPTS: Final = 12
"""About an hour: an admin looks on, and may start another repair."""

logger: Final = logging.getLogger("mastertape.replay")


@dataclass(frozen=True)
class RepairJobs:
    log: EventLog
    reads: RepoReads
    kinds: RecordKinds
    threads: Threads

    def kind(self) -> Kind:
        return Kind(
            jobs.REPAIR,
            self.work,
            judge=judge,
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
        repos = await run(repos_of, database, did, collections=self.kinds.collections)
        if not repos:
            raise NoPdsError
        outdated = partial(outdated_records, self.log, self.kinds)
        found = await Verifier(database, self.reads, self.kinds, outdated).compare(repos[0])
        row = await run(self._planned, job, found)
        facts = {"repair": row.id, "did": did}
        if row.state == RepairState.VERIFYING:
            counts = {"drifts": len(found.drifts), "unjudged": len(found.unjudged)}
            logger.info("repair_planned", extra=facts | counts)
            return Outcome.DONE
        steps = await run(steps_in, row.steps, did)
        drifts = {drift.key: drift for drift in found.drifts}
        apply = partial(apply_some, claimed=job, plan=steps, found=drifts, unjudged=found.unjudged)
        has_more = True
        while has_more:
            has_more = await run(self.log.transact, did, job.envelope, apply)
        logger.info("repair_applied", extra=facts | {"steps": len(steps)})
        return Outcome.DONE

    def _planned(self, job: Job, found: Verified) -> Any:
        """Return the repair, with its steps; one without a plan gets that of the comparison."""
        plan, database = columns_of(found), self.log.database
        with database.write() as connection:
            row = jobs.unfinished_of(connection, job, jobs.it.steps)
            if row.state == RepairState.VERIFYING:
                jobs.store_plan(connection, job.subject, plan, database.now(connection))
        return row


def apply_some(
    unit: UnitOfWork,
    claimed: Job,
    plan: Sequence[Drift],
    found: Mapping[RecordKey, Drift],
    unjudged: AbstractSet[RecordKey] = frozenset(),
) -> bool:
    """Apply the next steps of the plan, and return whether there are more.

    `found` are the drifts of a new comparison, and `unjudged` the records that it says nothing of. Raises LeaseLostError, and
    applies nothing, if the repair is another worker's now, or was cancelled.
    """
    did = claimed.subject
    row = jobs.unfinished_of(unit.connection, claimed, jobs.it.skips)
    steps = plan[row.settled : row.settled + STEPS_PER_UNIT]
    due = [step for step in steps if step.repair is not Repair.NOTHING]
    subjects = [step.subject for step in due if step.subject is not None]
    expected = {each.key: each for each in expected_of(unit.connection, did, subjects)}
    reasons = [(step, skip_reason(step, expected.get(step.key), found, unjudged)) for step in due]
    applied = [step for step, reason in reasons if reason is None]
    apply_steps(unit, did, applied)
    skips = [
        {"track_id": step.track_id, "uri": clean(step.key.uri), "reason": reason.value}
        for step, reason in reasons
        if reason is not None
    ]
    jobs.record_steps(unit.connection, row, settled=len(steps), applied=len(applied), skips=skips)
    queue.record_step(unit.connection, claimed)
    is_over = row.settled + len(steps) >= len(plan)
    if is_over:
        jobs.end(unit.connection, did, RepairState.DONE, unit.now)
    return not is_over


def skip_reason(
    planned: Drift,
    expected: Expected | None,
    found: Mapping[RecordKey, Drift],
    unjudged: AbstractSet[RecordKey],
) -> SkipReason | None:
    """Return why a planned step is no longer to be applied; None if all is as the plan saw it.

    That the relay has noticed the difference meanwhile changes nothing: the generation stays, and so does the record.
    """
    if expected is None or expected.waits or expected.generation != planned.generation:
        return SkipReason.CHANGED_HERE
    now = found.get(planned.key)
    if now is None:
        return SkipReason.NOT_COMPARED if planned.key in unjudged else SkipReason.AGREES
    is_same = (now.kind, now.found_cid) == (planned.kind, planned.found_cid)
    return None if is_same else SkipReason.CHANGED_ON_PDS


def apply_steps(unit: UnitOfWork, did: str, steps: Sequence[Drift]) -> None:
    """Append events and mark records for the relay, which sends them after live deliveries."""
    restored = _subjects(steps, RESTORED)
    missing = [step for step in steps if step.kind is DriftKind.MISSING]
    subjects: list[Published] = unit.load_all(Published, [each.stream_id for each in restored])
    live = [each for each in subjects if each.wants_record]
    for each in live:
        each.restore_record(at=unit.now)
    unit.save(*live)
    if behind := _subjects(steps, REFRESHED):
        lists = unit.load_all(TrackList, [each.stream_id for each in behind])
        hold_lane(unit.connection, did)
        for made in lists:
            made.refresh_references(references_of(unit.connection, made), at=unit.now)
        refresh_behind(unit, lists)
    reverify(unit.connection, _subjects(steps, REVERIFIED), unit.now)
    create_again(unit.connection, did, _subjects(missing, RESTORED))
    queue_as_backfill(unit.connection, did, restored, unit.now)
    announce(unit.connection, did)


def _subjects(steps: Sequence[Drift], repairs: AbstractSet[Repair]) -> list[Subject]:
    subjects = (step.subject for step in steps if step.repair in repairs)
    return [subject for subject in subjects if subject is not None]
