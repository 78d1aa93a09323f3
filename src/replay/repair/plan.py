"""A plan: drifts as the steps of their repair, and as it is stored, compact, of a bounded number and with a digest that names it."""

import json
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from operator import attrgetter
from typing import Any, Final, Self

from aggregates.published import Subject
from aggregates.tracks.track import Track
from outbox.pds.client import RecordKey
from outbox.views.drain import SECONDS_PER_RECORD
from replay.reconcile.drift import Drift, DriftKind, Repair
from replay.reconcile.verify import Verified

MAX_STEPS: Final = 10_000
"""About a megabyte. The drifts after the first so many are left to the next repair of the account."""

_PARTS: Final = attrgetter(
    *("kind", "key.collection", "key.rkey", "subject", "generation", "expected_cid", "found_cid", "is_known")
)
"""Of a step, as they are stored."""
Group = dict[str, Any]
"""How many records get a repair because of a kind of drift, and the points that it costs."""


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


@dataclass(frozen=True)
class Plan:
    """All steps, ordered by account and record."""

    steps: tuple[Drift, ...]

    @property
    def groups(self) -> list[Group]:
        counts = sorted(Counter((step.repair, step.kind, step.points) for step in self.steps).items())
        return [
            {"repair": repair.value, "because": kind.value, "records": count, "points": count * points}
            for (repair, kind, points), count in counts
        ]

    @property
    def counts(self) -> PlanCounts:
        return PlanCounts.of(self.groups)

    @property
    def seconds(self) -> float:
        """Estimate the duration, for accounts with full rate-limit budgets, which are processed in parallel."""
        records = Counter(step.key.did for step in self.steps if step.points)
        return max(records.values(), default=0) * SECONDS_PER_RECORD


def plan_for(drifts: Iterable[Drift]) -> Plan:
    return Plan(
        tuple(sorted(drifts, key=lambda drift: (drift.key.did, drift.key.collection, drift.key.rkey)))
    )


def columns_of(found: Verified) -> dict[str, Any]:
    """Return the columns of a repair that keep the plan of a comparison: `left_out` counts what differs beyond MAX_STEPS, `unjudged` what may."""
    # those that nothing is done about last: a full plan of them would hide the others from each new repair
    steps = sorted(plan_for(found.drifts).steps, key=lambda step: step.repair is Repair.NOTHING)
    kept = Plan(tuple(steps[:MAX_STEPS]))
    packed = zlib.compress(json.dumps([*map(_PARTS, kept.steps)], separators=(",", ":")).encode())
    return {
        "steps": packed,
        "digest": sha256(packed).hexdigest(),
        "counts": kept.groups,
        "seconds": kept.seconds,
        "records": found.records,
        "left_out": len(found.drifts) - len(kept.steps),
        "unjudged": len(found.unjudged),
    }


def steps_in(packed: bytes, did: str) -> tuple[Drift, ...]:
    return tuple(_step(row, did) for row in json.loads(zlib.decompress(packed)))


def _step(row: Sequence[Any], did: str) -> Drift:
    # older plans name the repair and its points before the kind; the oldest, the id of a track instead of a subject
    kind, collection, rkey, subject, generation, expected_cid, found_cid, is_known = row[-8:]
    if subject is not None:
        subject = Subject(*subject) if isinstance(subject, list) else Subject(Track.TOPIC, subject)
    key = RecordKey(did, collection, rkey)
    return Drift(DriftKind(kind), key, subject, expected_cid, found_cid, is_known, generation=generation)
