"""Reads a PDS's rate limits from its response headers: how much is left, and until when to wait.

Headers name the tightest budget alone: its window (`w=` in RateLimit-Policy, in seconds) distinguishes an account's from an
address's. Times are by the host's clock, which may differ from ours.
"""

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

WINDOW: Final = re.compile(r"\bw=(\d{1,9})\b")
MAX_HOST_WINDOW_SECONDS: Final = 600
"""A PDS counts an address over minutes, an account over hours."""
HOUR_SECONDS, DAY_SECONDS = 3600, 86400
LONGEST_PAUSE_SECONDS: Final = float(DAY_SECONDS)
"""A PDS counts over a day at most; longer pauses are cut to that."""
MAX_POINTS: Final = 1e9
MIN_EPOCH_SECONDS: Final = 1e9
"""A smaller Reset is not a time but seconds to wait, as in the draft of the headers."""
ROUNDED_SECONDS: Final = 1.0
"""Hosts cut fractions of seconds off."""
LIVE_RESERVE: Final = 0.2
"""The share of a budget that is never used: an account's is for its other apps, a host's for reads and sign-ins."""
BACKFILL_RESERVE: Final = 0.5
"""Backfill leaves this share, so that a live edit never waits for it."""
CREATE_POINTS, PUT_POINTS, DELETE_POINTS = 3, 2, 1


@dataclass(frozen=True)
class Budget:
    """One of a PDS's budgets: `limit` points per `window` seconds, which is None if the PDS does not name it.

    It is full again `reset_seconds` after the response.
    """

    limit: int
    left: int
    window: int | None
    reset_seconds: float

    @property
    def is_of_host(self) -> bool:
        """Whether it counts all requests from our address, rather than an account's."""
        return self.window is not None and self.window <= MAX_HOST_WINDOW_SECONDS

    def reset_at(self, now: datetime) -> datetime:
        """Return when the budget is full again, by our clock: never in the past, nor later than its window."""
        longest = min(self.window or LONGEST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS)
        seconds = max(self.reset_seconds, 0.0) + ROUNDED_SECONDS
        return now + timedelta(seconds=min(seconds, longest + ROUNDED_SECONDS))

    def is_used_up(self, reserve: float, points: int) -> bool:
        """Whether so many more points would draw on the reserve, a share of the limit."""
        return self.left - points < reserve * self.limit


def lane_budget(budget: Budget, now: datetime) -> dict[str, Any]:
    """Return the lane columns with its account's budget, and the pause if it is used up."""
    if budget.is_of_host:
        return {}
    reset = budget.reset_at(now)
    name = "hour" if (budget.window or 0) <= HOUR_SECONDS else "day"
    columns: dict[str, Any] = {
        f"{name}_limit": budget.limit,
        f"{name}_left": budget.left,
        f"{name}_reset": reset,
    }
    if budget.is_used_up(LIVE_RESERVE, CREATE_POINTS):
        columns["paced_until"] = reset
    elif budget.is_used_up(BACKFILL_RESERVE, CREATE_POINTS):
        columns["backfill_after"] = reset
    return columns


def budget_of(headers: Mapping[str, str]) -> Budget | None:
    """Read the RateLimit headers; None where they are missing or invalid."""
    limit, left, reset = (
        _number(headers.get(f"ratelimit-{name}")) for name in ("limit", "remaining", "reset")
    )
    if limit is None or left is None or reset is None or limit < 1:
        return None
    policy = WINDOW.search(headers.get("ratelimit-policy", ""))
    window = int(policy[1]) if policy is not None and int(policy[1]) > 0 else None
    seconds = reset if reset < MIN_EPOCH_SECONDS else reset - _clock(headers)
    most = min(limit, MAX_POINTS)
    return Budget(int(most), int(min(max(left, 0), most)), window, seconds)


def retry_after_of(headers: Mapping[str, str]) -> timedelta | None:
    """Read the pause of Retry-After, which is seconds or a date: between a second and a day."""
    value = headers.get("retry-after")
    seconds = _number(value)
    if seconds is None and (at := _date(value)) is not None:
        seconds = at - _clock(headers)
    return timedelta(seconds=min(max(seconds, 1.0), LONGEST_PAUSE_SECONDS)) if seconds is not None else None


def _clock(headers: Mapping[str, str]) -> float:
    """Return what the host's clock showed at the response; ours, if it sent no `Date`."""
    at = _date(headers.get("date"))
    return at if at is not None else time.time()


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
