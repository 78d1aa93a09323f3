"""Plans the repairs that would make the PDSes agree with the log, and their cost."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from eventstore.states import State
from outbox.pds.pacing import CREATE_POINTS, DELETE_POINTS, PUT_POINTS
from outbox.views.drain import Backlog, seconds_to_drain
from replay.reconcile.drift import Drift, DriftKind


class Repair(State):
    """What is done about a drift."""

    RESTORE = "restore", "the record is written again, by an event"
    REWRITE = (
        "rewrite",
        "the newest state replaces an earlier record of ours, or one with earlier addresses",
    )
    DELETE = "delete", "our record of a deleted track is deleted again"
    REVERIFY = "look", "the relay reads it again, and holds or releases it"
    NOTHING = "nothing", "it stays as it is: no track says what it should be"


REPAIRS: Final = {
    DriftKind.MISSING: (Repair.RESTORE, CREATE_POINTS),
    DriftKind.BLOB_MISSING: (Repair.RESTORE, PUT_POINTS),
    DriftKind.STALE: (Repair.REWRITE, PUT_POINTS),
    DriftKind.OUTDATED: (Repair.REWRITE, PUT_POINTS),
    DriftKind.UNDELETED: (Repair.DELETE, DELETE_POINTS),
    DriftKind.FOREIGN_EDIT: (Repair.REVERIFY, 0),
    DriftKind.NEWER: (Repair.REVERIFY, 0),
    DriftKind.WITHDRAWN: (Repair.REVERIFY, 0),
    DriftKind.UNKNOWN: (Repair.NOTHING, 0),
}


@dataclass(frozen=True)
class Step:
    """One drift, its repair, and the rate-limit points that the repair costs the account."""

    drift: Drift
    repair: Repair
    points: int


@dataclass(frozen=True)
class Plan:
    """All steps, ordered by account and record."""

    steps: tuple[Step, ...]

    @property
    def points(self) -> int:
        """Return the cost in rate-limit points."""
        return sum(step.points for step in self.steps)

    @property
    def deletes(self) -> int:
        """Return how many records would be deleted."""
        return sum(step.repair is Repair.DELETE for step in self.steps)

    @property
    def seconds(self) -> float:
        """Estimate the duration, for accounts with full rate-limit budgets, which are processed in parallel."""
        by_account: dict[str, Backlog] = {}
        for step in self.steps:
            if step.points:
                before = by_account.get(step.drift.key.did, Backlog())
                by_account[step.drift.key.did] = Backlog(before.records + 1, before.points + step.points)
        return max((seconds_to_drain(Backlog(), each, ()) for each in by_account.values()), default=0.0)


def plan_for(drifts: Iterable[Drift]) -> Plan:
    """Plan the repair of each drift."""
    ordered = sorted(drifts, key=lambda drift: (drift.key.did, drift.key.collection, drift.key.rkey))
    return Plan(tuple(Step(drift, *REPAIRS[drift.kind]) for drift in ordered))
