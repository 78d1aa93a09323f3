"""What a PDS says of its limits: how much is left, and when one may come back.

Its answers name the tightest of its budgets: RateLimit-Policy's `w=` says over how many seconds that one counts,
which tells an account's budget from an address's. Times are the host's, which may go by another clock than ours.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

HOST_SECONDS: Final = 600
"""An account is counted over hours, an address over minutes."""
HOUR_SECONDS, DAY_SECONDS = 3600, 86400
LONGEST_PAUSE: Final = float(DAY_SECONDS)
"""A PDS counts over a day at most; one that asks for more is not believed."""
MOST_POINTS: Final = 1e9
EPOCH_SECONDS: Final = 1e9
"""A smaller Reset is not a time but seconds to wait, as the draft of the headers has it."""
ROUNDED_SECONDS: Final = 1.0
"""Hosts leave out the fractions of what they tell."""
LIVE_KEEPS: Final = 0.2
"""This share of a budget is left alone: an account's for its other apps, a host's for reads and sign-ins."""
BACKFILL_KEEPS: Final = 0.5
"""A replay leaves this much, so that a live edit never waits for it."""
CREATE_POINTS, PUT_POINTS, DELETE_POINTS = 3, 2, 1


@dataclass(frozen=True)
class HostTime:
    """A time on the host's clock, and the host's clock at the response (`Date`), if it sent one."""

    at: float
    clock: float | None

    def seconds_left(self, now: datetime) -> float:
        """Return the seconds until then; by our own clock if the host sent no `Date`."""
        return self.at - (self.clock if self.clock is not None else now.timestamp())


@dataclass(frozen=True)
class Budget:
    """One of a PDS's budgets: so many points in `window` seconds; None where it did not say which one it is."""

    limit: int
    left: int
    window: int | None
    reset: HostTime

    @property
    def is_of_host(self) -> bool:
        """Whether all that comes from our address draws on it."""
        return self.window is not None and self.window <= HOST_SECONDS

    def reset_at(self, now: datetime) -> datetime:
        """Return when the budget is full again, by our clock: never in the past, nor later than its window."""
        longest = min(self.window or LONGEST_PAUSE, LONGEST_PAUSE)
        seconds = max(self.reset.seconds_left(now), 0.0) + ROUNDED_SECONDS
        return now + timedelta(seconds=min(seconds, longest + ROUNDED_SECONDS))

    def is_dry(self, keeps: float, points: int) -> bool:
        """Whether so many points more would take what is to be left alone."""
        return self.left - points < keeps * self.limit


@dataclass(frozen=True)
class RetryAfter:
    """When a host wants to be asked again: after these seconds, or at this time of its own."""

    seconds: float | None = None
    time: HostTime | None = None

    def pause(self, now: datetime) -> timedelta:
        """Return the pause, within bounds."""
        seconds = self.seconds if self.seconds is not None else 0.0
        if self.time is not None:
            seconds = self.time.seconds_left(now)
        return timedelta(seconds=min(max(seconds, 1.0), LONGEST_PAUSE))


def lane_budget(budget: Budget, now: datetime) -> dict[str, Any]:
    """Return the lane columns with its account's budget, and until when it is used up."""
    if budget.is_of_host:
        return {}
    reset = budget.reset_at(now)
    name = "hour" if (budget.window or 0) <= HOUR_SECONDS else "day"
    told: dict[str, Any] = {
        f"{name}_limit": budget.limit,
        f"{name}_left": budget.left,
        f"{name}_reset": reset,
    }
    if budget.is_dry(LIVE_KEEPS, CREATE_POINTS):
        told["paced_until"] = reset
    elif budget.is_dry(BACKFILL_KEEPS, CREATE_POINTS):
        told["backfill_after"] = reset
    return told


def budget_of(headers: Mapping[str, str]) -> Budget | None:
    """Read the RateLimit headers; None where they are not there or make no sense."""
    limit, left, reset = (
        _number(headers.get(f"ratelimit-{name}")) for name in ("limit", "remaining", "reset")
    )
    if limit is None or left is None or reset is None or limit < 1:
        return None
    policy = re.search(r"\bw=(\d{1,9})\b", headers.get("ratelimit-policy", ""))
    window = int(policy[1]) if policy is not None and int(policy[1]) > 0 else None
    clock = _clock(headers)
    time = HostTime(reset, 0.0) if reset < EPOCH_SECONDS else HostTime(reset, clock)
    most = min(limit, MOST_POINTS)
    return Budget(int(most), int(min(max(left, 0), most)), window, time)


def retry_after_of(headers: Mapping[str, str]) -> RetryAfter | None:
    """Read Retry-After, which is seconds or a date."""
    said = headers.get("retry-after")
    if (seconds := _number(said)) is not None:
        return RetryAfter(seconds=seconds)
    at = _date(said)
    return RetryAfter(time=HostTime(at, _clock(headers))) if at is not None else None


def _clock(headers: Mapping[str, str]) -> float | None:
    return _date(headers.get("date"))


def _number(text: str | None) -> float | None:
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _date(text: str | None) -> float | None:
    try:
        return parsedate_to_datetime(text or "").timestamp()
    except (ValueError, OverflowError):
        return None
