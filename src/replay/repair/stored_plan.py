"""A plan as it is stored with its repair: compact, of a bounded number of steps, and with a digest that names it."""

import json
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, Self

from aggregates.published import Subject
from aggregates.track import Track
from outbox.pds.client import RecordKey
from replay.reconcile.drift import Drift, DriftKind
from replay.reconcile.plan import Plan, Repair, Step, plan_for
from replay.reconcile.verify import Verified

MAX_STEPS: Final = 10_000
"""About a megabyte. The drifts after the first so many are left to the next repair of the account."""

Group = dict[str, Any]
"""How many records get a repair because of a kind of drift, and the points that it costs."""


@dataclass(frozen=True)
class StoredPlan:
    """What is stored of a comparison and its plan."""

    steps: bytes
    digest: str
    counts: Sequence[Group]
    seconds: float
    records: int
    """How many the PDS holds."""
    left_out: int
    """How many records differ beyond MAX_STEPS."""
    unjudged: int
    """How many may differ beside them."""

    @property
    def does_anything(self) -> bool:
        return PlanCounts.of(self.counts).steps > 0

    @classmethod
    def of(cls, found: Verified) -> Self:
        # those that nothing is done about last: a full plan of them would hide the others from each new repair
        steps = sorted(plan_for(found.drifts).steps, key=lambda step: step.repair is Repair.NOTHING)
        kept = Plan(tuple(steps[:MAX_STEPS]))
        packed = _packed(kept.steps)
        return cls(
            packed,
            sha256(packed).hexdigest(),
            _groups(kept),
            kept.seconds,
            records=found.records,
            left_out=len(found.drifts) - len(kept.steps),
            unjudged=len(found.unjudged),
        )


@dataclass(frozen=True)
class PlanCounts:
    """What a plan does in all: `steps` are those that do something."""

    steps: int
    deletes: int
    points: int

    @classmethod
    def of(cls, groups: Iterable[Mapping[str, Any]]) -> Self:
        by_repair: Counter[str] = Counter()
        points = 0
        for group in groups:
            by_repair[group["repair"]] += group["records"]
            points += group["points"]
        return cls(by_repair.total() - by_repair[Repair.NOTHING], by_repair[Repair.DELETE], points)


def steps_in(packed: bytes, did: str) -> tuple[Step, ...]:
    """Return the steps as they were planned, whatever this version of the code would plan."""
    return tuple(_step(row, did) for row in json.loads(zlib.decompress(packed)))


def _packed(steps: Iterable[Step]) -> bytes:
    rows = [
        (
            step.repair,
            step.points,
            step.drift.kind,
            step.drift.key.collection,
            step.drift.key.rkey,
            step.drift.subject,
            step.drift.generation,
            step.drift.expected_cid,
            step.drift.found_cid,
            step.drift.is_known,
        )
        for step in steps
    ]
    return zlib.compress(json.dumps(rows, separators=(",", ":")).encode())


def _step(row: Sequence[Any], did: str) -> Step:
    repair, points, kind, collection, rkey, subject, generation, expected_cid, found_cid, is_known = row
    drift = Drift(
        DriftKind(kind),
        RecordKey(did, collection, rkey),
        _subject(subject),
        expected_cid,
        found_cid,
        is_known,
        generation=generation,
    )
    return Step(drift, Repair(repair), points)


def _subject(stored: Any) -> Subject | None:
    """Plans from before there were kinds have the id of a track alone."""
    if isinstance(stored, int):
        return Subject(Track.TOPIC, stored)
    return Subject(*stored) if stored is not None else None


def _groups(plan: Plan) -> list[Group]:
    records: Counter[tuple[Repair, DriftKind]] = Counter()
    points: Counter[tuple[Repair, DriftKind]] = Counter()
    for step in plan.steps:
        records[step.repair, step.drift.kind] += 1
        points[step.repair, step.drift.kind] += step.points
    return [
        {"repair": each[0].value, "because": each[1].value, "records": count, "points": points[each]}
        for each, count in sorted(records.items())
    ]
