"""Computes how the report of one request changes a row of `pds_host`: its breaker, and the budgets its accounts share.

The breaker opens after failures in a row of two accounts or more, or of the host's only one, for longer each time; then
one lane tries, and each success adds one, up to the host's maximum.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from eventstore.coordination.backoff import backoff
from outbox.mirror.failure_causes import error_text
from outbox.mirror.states import BreakerState
from outbox.mirror.tables import NO_FAILURES
from outbox.pds.verdict import BACKFILL_RESERVE, LIVE_RESERVE, Budget, Kind, Phase, Scope, Verdict

OPENS_AFTER_FAILURES: Final = 5
"""In a row."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 5.0, 600.0
MIN_BUDGET_CHANGE: Final = 0.1
"""The share of a budget that has to be spent before it is recorded again."""
CLOCK_TOLERANCE: Final = timedelta(seconds=5)
"""A PDS rounds the same reset to whole seconds of its own clock, so that it varies a little."""

Changes = dict[str, Any]
"""Columns of the row, and their new values."""


@dataclass(frozen=True)
class HostReport:
    """What a request showed of its host: the limits in its verdict, and of a delivery the host's health too."""

    host: str
    did: str
    verdict: Verdict
    is_well: bool | None = None
    breaks_down_again: bool = False
    """Whether the host fails on this record each time, which may be the record's fault alone."""

    @classmethod
    def of(
        cls, host: str, did: str, verdict: Verdict, *, answered: bool = False, breaks_down_again: bool = False
    ) -> "HostReport":
        """Make a report of a verdict; `answered` if the host sent any response, whatever the verdict is about."""
        is_well = verdict.host_is_well
        return cls(host, did, verdict, True if is_well is None and answered else is_well, breaks_down_again)

    @property
    def says_nothing_new(self) -> bool:
        """Whether it changes nothing in the row of a host without failures, with a closed breaker."""
        budget = self.verdict.budget
        return self.verdict.kind is Kind.DONE and (budget is None or not budget.is_of_host)

    @property
    def asks_for_pause(self) -> bool:
        """Whether the host is to be sent nothing for a while."""
        budget = self.verdict.budget
        return self.verdict.kind is Kind.PACED or (budget is not None and budget.is_used_up(LIVE_RESERVE, 1))


def breaker_state(host: Any, now: datetime) -> BreakerState:
    """Return the state of a host's breaker, given its row."""
    if host.breaker == BreakerState.CLOSED:
        return BreakerState.CLOSED
    return BreakerState.OPEN if host.retry_at > now else BreakerState.HALF_OPEN


def failed_last(host: Any) -> bool:
    """Return whether the host failed the last time, or is still being let in again, given its row."""
    return bool(host.failures) or host.ramp is not None


def lanes_at_once(host: Any) -> int:
    """Return how many lanes of the host may run at once, given its row."""
    if host.breaker == BreakerState.OPEN:
        return 1
    most: int = host.max_lanes if host.ramp is None else min(host.ramp, host.max_lanes)
    return most


def changes(host: Any, report: HostReport, now: datetime, *, is_only_account: bool = False) -> Changes:
    """Return the columns of the host's row that change; the failures of its only account are the host's."""
    found: Changes = {}
    if report.is_well is True:
        found |= _after_success(host)
    elif report.is_well is False:
        found |= _after_failure(host, report, now, is_only_account=is_only_account)
    if report.verdict.budget is not None:
        found |= _after_budget(host, report.verdict.budget, report.verdict.phase, now)
    column = {Scope.HOST: "paced_until", Scope.BLOBS: "blobs_after"}.get(report.verdict.scope)
    if report.verdict.kind is Kind.PACED and column is not None:
        until = max(now + report.verdict.requested_pause(now), found.get(column, now))
        found |= _later(host, column, until)
    return found


def _after_success(host: Any) -> Changes:
    clear: Changes = {"failures": 0, "failing_did": None, "many_fail": False, **NO_FAILURES}
    if host.breaker == BreakerState.OPEN:
        return {**clear, "breaker": BreakerState.CLOSED, **_ramp(host, 2)}
    if host.ramp is not None:
        return {**clear, **_ramp(host, host.ramp + 1)}
    return clear if host.failures or host.failing_since is not None else {}


def _ramp(host: Any, lanes: int) -> Changes:
    """Allow so many lanes; at the host's maximum the ramp is over."""
    if lanes < host.max_lanes:
        return {"ramp": lanes}
    return {"ramp": None, "openings": 0, "last_error": None}


def _after_failure(host: Any, report: HostReport, now: datetime, *, is_only_account: bool) -> Changes:
    state = breaker_state(host, now)
    if state == BreakerState.OPEN:
        return {}  # sent before it opened
    if report.breaks_down_again and state == BreakerState.CLOSED:
        return {}  # else two bad records would open the breaker of a host that has few others
    first = host.failing_did or report.did
    found: Changes = {
        "failures": host.failures + 1,
        "failing_did": first,
        "many_fail": host.many_fail or first != report.did,
        "last_error": error_text(report.verdict),
    }
    if host.failing_since is None:
        found |= {"failing_since": now, "first_error": found["last_error"]}
    is_of_host = found["many_fail"] or is_only_account
    if state == BreakerState.HALF_OPEN or (is_of_host and found["failures"] >= OPENS_AFTER_FAILURES):
        openings = host.openings + (not report.breaks_down_again)
        pause = backoff(openings - 1, first=FIRST_PAUSE_SECONDS, cap=LONGEST_PAUSE_SECONDS)
        found |= {"breaker": BreakerState.OPEN, "retry_at": now + pause, "openings": openings, "ramp": None}
    return found


def _after_budget(host: Any, budget: Budget, phase: Phase, now: datetime) -> Changes:
    """Uploads may use up their budget; of others a share is left for sign-ins and reads."""
    reset = budget.reset_at(now)
    if budget.is_of_host:
        found = _recorded_budget(host, "budget", budget, reset)
        if found:
            found["budget_seconds"] = budget.window
        if budget.is_used_up(LIVE_RESERVE, 1):
            found |= _later(host, "paced_until", reset, by=CLOCK_TOLERANCE)
        elif budget.is_used_up(BACKFILL_RESERVE, 1):
            found |= _later(host, "backfill_after", reset, by=CLOCK_TOLERANCE)
        return found
    if phase is not Phase.UPLOAD:
        return {}
    found = _recorded_budget(host, "blob", budget, reset)
    if budget.is_used_up(0.0, 1):
        found |= _later(host, "blobs_after", reset, by=CLOCK_TOLERANCE)
    return found


def _recorded_budget(host: Any, name: str, budget: Budget, reset: datetime) -> Changes:
    """Return the budget's columns, unless little has changed: every response repeats them."""
    then = {column: getattr(host, f"{name}_{column}") for column in ("limit", "left", "reset")}
    is_known = then["limit"] == budget.limit and abs(then["reset"] - reset) < CLOCK_TOLERANCE
    if is_known and 0 <= then["left"] - budget.left < max(1, MIN_BUDGET_CHANGE * budget.limit):
        return {}
    return {f"{name}_limit": budget.limit, f"{name}_left": budget.left, f"{name}_reset": reset}


def _later(host: Any, column: str, until: datetime, *, by: timedelta = timedelta()) -> Changes:
    return {column: until} if getattr(host, column) + by < until else {}
