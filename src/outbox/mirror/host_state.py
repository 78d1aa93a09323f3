"""The state of a host, which is a row of `pds_host`, and how what a request told of it changes that: values only.

It is a breaker, and the budgets that all of the host's accounts share. The breaker opens after failures in a row of two
accounts or more, for longer each time; then one lane tries, and each success lets one more in, up to the host's share.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from outbox.backoff import backoff
from outbox.mirror.states import BreakerState
from outbox.pds.pacing import BACKFILL_KEEPS, LIVE_KEEPS, Budget
from outbox.pds.verdict import Kind, Phase, Scope, Verdict

OPENS_AFTER: Final = 5
"""So many failures in a row."""
FIRST_SECONDS, LONGEST_SECONDS = 5.0, 600.0
COARSE: Final = 0.1
"""How much of a budget has to be gone before it is written down again."""
WOBBLE: Final = timedelta(seconds=5)
"""The same reset, told in whole seconds by another clock, never comes out quite the same."""

Changes = dict[str, Any]
"""Columns of the row, and what they become."""


@dataclass(frozen=True)
class HostReport:
    """What a request told of its host."""

    host: str
    did: str
    verdict: Verdict
    is_well: bool | None
    again: bool = False
    """Whether it breaks down over this record each time: that may be the record's fault alone."""

    @classmethod
    def of(
        cls, host: str, did: str, verdict: Verdict, *, answered: bool = False, again: bool = False
    ) -> "HostReport":
        """Take what a verdict says; `answered` if the host was heard, whatever the verdict is about."""
        is_well = verdict.host_is_well
        return cls(host, did, verdict, True if is_well is None and answered else is_well, again)

    @classmethod
    def of_limits(cls, host: str, did: str, verdict: Verdict) -> "HostReport":
        """Take only what a verdict says of limits: whether the host is well, the end of a delivery says."""
        return cls(host, did, verdict, is_well=None)

    @property
    def asks_for_pause(self) -> bool:
        """Whether nothing may be sent to the host for a while."""
        budget = self.verdict.budget
        return self.verdict.kind is Kind.PACED or (budget is not None and budget.is_dry(LIVE_KEEPS, 1))


def breaker_state(host: Any, now: datetime) -> BreakerState:
    """Return the state of a host's breaker, given its row."""
    if host.breaker == BreakerState.CLOSED:
        return BreakerState.CLOSED
    return BreakerState.OPEN if host.retry_at > now else BreakerState.HALF_OPEN


def lanes_at_once(host: Any) -> int:
    """Give how many lanes of the host may be under way, of its row."""
    if host.breaker == BreakerState.OPEN:
        return 1
    most: int = host.max_lanes if host.ramp is None else min(host.ramp, host.max_lanes)
    return most


def changes(host: Any, report: HostReport, now: datetime) -> Changes:
    """Give the columns of the host's row that change."""
    found: Changes = {}
    if report.is_well is not None:
        found |= _after_success(host) if report.is_well else _after_failure(host, report, now)
    if report.verdict.budget is not None:
        found |= _after_budget(host, report.verdict.budget, report.verdict.phase, now)
    if report.verdict.kind is Kind.PACED:
        found |= _after_limit(host, found, report.verdict, now)
    return found


def _after_success(host: Any) -> Changes:
    calm: Changes = {"failures": 0, "failing_did": None, "many_fail": False}
    if host.breaker == BreakerState.OPEN:
        return {**calm, "breaker": BreakerState.CLOSED, **_ramp(host, 2)}
    if host.ramp is not None:
        return {**calm, **_ramp(host, host.ramp + 1)}
    return calm if host.failures else {}


def _ramp(host: Any, lanes: int) -> Changes:
    """Let so many lanes in; once it is all, the host is as good as any other."""
    if lanes < host.max_lanes:
        return {"ramp": lanes}
    return {"ramp": None, "openings": 0, "last_error": None}


def _after_failure(host: Any, report: HostReport, now: datetime) -> Changes:
    state = breaker_state(host, now)
    if state == BreakerState.OPEN:
        return {}  # sent before it opened
    if report.again and state == BreakerState.CLOSED:
        return {}  # else two bad records would close a host that has little else to do
    first = host.failing_did or report.did
    found: Changes = {
        "failures": host.failures + 1,
        "failing_did": first,
        "many_fail": host.many_fail or first != report.did,
        "last_error": f"{report.verdict.error}: {report.verdict.message}",
    }
    if state == BreakerState.HALF_OPEN or (found["many_fail"] and found["failures"] >= OPENS_AFTER):
        openings = host.openings + (not report.again)
        pause = backoff(openings - 1, first=FIRST_SECONDS, cap=LONGEST_SECONDS)
        found |= {"breaker": BreakerState.OPEN, "retry_at": now + pause, "openings": openings, "ramp": None}
    return found


def _after_budget(host: Any, budget: Budget, phase: Phase, now: datetime) -> Changes:
    """Nobody else draws on our address, so uploads are used up; of the rest a share is left for sign-ins and read-backs."""
    reset = budget.reset_at(now)
    if budget.is_of_host:
        found = _written_down(host, "budget", budget, reset)
        if found:
            found["budget_seconds"] = budget.window
        if budget.is_dry(LIVE_KEEPS, 1):
            found |= _later(host, "paced_until", reset, by=WOBBLE)
        elif budget.is_dry(BACKFILL_KEEPS, 1):
            found |= _later(host, "backfill_after", reset, by=WOBBLE)
        return found
    if phase is not Phase.UPLOAD:
        return {}
    found = _written_down(host, "blob", budget, reset)
    if budget.is_dry(0.0, 1):
        found |= _later(host, "blobs_after", reset, by=WOBBLE)
    return found


def _written_down(host: Any, name: str, budget: Budget, reset: datetime) -> Changes:
    """Write a budget down, unless it is much as it was: an account's every write tells it."""
    then = {column: getattr(host, f"{name}_{column}") for column in ("limit", "left", "reset")}
    is_known = then["limit"] == budget.limit and abs(then["reset"] - reset) < WOBBLE
    if is_known and 0 <= then["left"] - budget.left < max(1, COARSE * budget.limit):
        return {}
    return {f"{name}_limit": budget.limit, f"{name}_left": budget.left, f"{name}_reset": reset}


def _after_limit(host: Any, found: Changes, verdict: Verdict, now: datetime) -> Changes:
    column = {Scope.HOST: "paced_until", Scope.BLOBS: "blobs_after"}.get(verdict.scope)
    if column is None:
        return {}
    until = max(now + verdict.requested_pause(now), found.get(column, now))
    return _later(host, column, until)


def _later(host: Any, column: str, until: datetime, *, by: timedelta = timedelta()) -> Changes:
    return {column: until} if getattr(host, column) + by < until else {}
