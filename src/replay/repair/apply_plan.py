"""Applies a shown plan, some steps in each unit: what has changed since the plan is skipped and named.

The steps and the progress of their repair commit together, so that another process continues where one was killed.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from aggregates.published import Published, Subject
from eventstore.coordination.commit_signals import announce
from eventstore.jobs import queue
from eventstore.jobs.kinds import Job
from eventstore.unit_of_work import UnitOfWork
from eventstore.untrusted import clean
from outbox.mirror.requeue import create_again, queue_as_backfill, reverify
from outbox.pds.client import RecordKey
from replay.reconcile.drift import Drift, DriftKind, Expected, Repair
from replay.reconcile.verify import expected_of
from replay.repair import jobs
from replay.repair.states import RepairState, SkipReason

STEPS_PER_UNIT: Final = 100
RESTORED: Final = frozenset({Repair.RESTORE})
REVERIFIED: Final = frozenset({Repair.REWRITE, Repair.DELETE, Repair.REVERIFY})


def apply_some(
    unit: UnitOfWork,
    claimed: Job,
    plan: Sequence[Drift],
    found: Mapping[RecordKey, Drift],
    unjudged: AbstractSet[RecordKey] = frozenset(),
) -> bool:
    """Apply the next steps of the plan, and return whether there are more.

    `found` are the drifts of a new comparison, and `unjudged` the records that it says nothing of.

    Raises LeaseLostError, and applies nothing, if the repair is another worker's now, or was cancelled.
    """
    did = claimed.subject
    row = jobs.unfinished_of(unit.connection, claimed)
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
    subjects: list[Published] = unit.load_all(Published, [each.stream_id for each in restored])  # type: ignore[type-abstract]
    live = [each for each in subjects if each.deleted_at is None]
    for each in live:
        each.restore_record(at=unit.now)
    unit.save(*live)
    reverify(unit.connection, _subjects(steps, REVERIFIED), unit.now)
    create_again(unit.connection, did, _subjects(missing, RESTORED))
    queue_as_backfill(unit.connection, did, restored, unit.now)
    announce(unit.connection)


def _subjects(steps: Sequence[Drift], repairs: AbstractSet[Repair]) -> list[Subject]:
    subjects = (step.subject for step in steps if step.repair in repairs)
    return [subject for subject in subjects if subject is not None]
