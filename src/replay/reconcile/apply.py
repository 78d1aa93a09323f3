"""Applies a plan: it appends events and marks records for the relay, which sends them after live deliveries."""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby, islice
from typing import Final

from aggregates.track import Track
from eventstore.change import Envelope
from eventstore.coordination.commit_signals import announce
from eventstore.event_log import EventLog
from eventstore.unit_of_work import UnitOfWork
from outbox.mirror.requeue import create_again, queue_as_backfill, reverify
from replay.errors import TooManyDeletesError
from replay.reconcile.drift import DriftKind
from replay.reconcile.plan import Plan, Repair, Step

STEPS_PER_UNIT: Final = 100
RESTORED: Final = frozenset({Repair.RESTORE})
REVERIFIED: Final = frozenset({Repair.REWRITE, Repair.DELETE, Repair.REVERIFY})


def apply(log: EventLog, plan: Plan, envelope: Envelope, *, max_deletes: int) -> Counter[Repair]:
    """Apply the plan account by account, and count the repairs; raises TooManyDeletesError before the first.

    After a crash, verify, plan and apply again: a repair that was made is no drift any more.
    """
    if plan.deletes > max_deletes:
        raise TooManyDeletesError(plan.deletes, max_deletes)
    done: Counter[Repair] = Counter()
    for did, steps in _units(plan):
        log.transact(did, envelope, partial(apply_steps, did=did, steps=steps))
        done.update(step.repair for step in steps if step.repair is not Repair.NOTHING)
    return done


def _units(plan: Plan) -> Iterator[tuple[str, Sequence[Step]]]:
    for did, steps in groupby(plan.steps, lambda step: step.drift.key.did):
        while some := tuple(islice(steps, STEPS_PER_UNIT)):
            yield did, some


def apply_steps(unit: UnitOfWork, did: str, steps: Sequence[Step]) -> None:
    """Apply steps of one account, in its unit."""
    restored = _tracks(steps, RESTORED)
    missing = [step for step in steps if step.drift.kind is DriftKind.MISSING]
    tracks = unit.load_all(Track, [Track.create_id(track_id) for track_id in restored])
    live = [track for track in tracks if track.deleted_at is None]
    for track in live:
        track.restore_record(at=unit.now)
    unit.save(*live)
    reverify(unit.connection, _tracks(steps, REVERIFIED), unit.now)
    create_again(unit.connection, did, _tracks(missing, RESTORED))
    queue_as_backfill(unit.connection, did, restored, unit.now)
    announce(unit.connection)


def _tracks(steps: Sequence[Step], repairs: frozenset[Repair]) -> list[int]:
    return [
        step.drift.track_id for step in steps if step.repair in repairs and step.drift.track_id is not None
    ]
