"""Rate limits with fixed windows that begin at the first request, as the PDS counts them."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from tests.fake_pds.xrpc import Call, RefusedError

HOUR, DAY = 3600, 86400


@dataclass(frozen=True)
class Rule:
    name: str
    points: int
    seconds: int


REQUESTS = Rule("requests", 3000, 300)
WRITES_AN_HOUR = Rule("writes-hour", 5000, HOUR)
WRITES_A_DAY = Rule("writes-day", 35000, DAY)
UPLOADS = Rule("uploads", 1000, DAY)
LOGINS = Rule("logins", 30, 300)
LOGINS_A_DAY = Rule("logins-day", 300, DAY)


@dataclass
class Window:
    """What was used since it began."""

    rule: Rule
    began: float
    used: int = 0

    def headers(self, now: float) -> dict[str, str]:
        return {
            "RateLimit-Limit": str(self.rule.points),
            "RateLimit-Remaining": str(max(0, self.left)),
            "RateLimit-Reset": str(math.floor(now + self.seconds_left(now))),
            "RateLimit-Policy": f"{self.rule.points};w={self.rule.seconds}",
        }

    @property
    def left(self) -> int:
        """The points that are left; negative after a request beyond them."""
        return self.rule.points - self.used

    def seconds_left(self, now: float) -> float:
        return self.began + self.rule.seconds - now


class Limits:
    """The buckets of one host. `points` replaces a rule's points, so that a test reaches its end soon."""

    def __init__(self, clock: Callable[[], float], *, enabled: bool = False) -> None:
        self.clock = clock
        self.enabled = enabled
        self.points: dict[str, int] = {}
        self._windows: dict[tuple[str, str], Window] = {}

    def consume(self, call: Call, *wanted: tuple[Rule, str, int]) -> None:
        """Take one request and the points of each (rule, key, points), also when they are too many."""
        if not self.enabled:
            return
        wanted = (*wanted, (REQUESTS, call.ip, 1))
        windows = [self._take(*each) for each in wanted if each[2]]
        over = next((window for window in windows if window.left < 0), None)
        if over is not None:
            now = self.clock()
            headers = {**over.headers(now), "Retry-After": str(math.ceil(over.seconds_left(now)))}
            raise RefusedError(429, "RateLimitExceeded", "Rate Limit Exceeded", headers)
        tightest = min(windows, key=lambda window: window.left)
        call.response_headers |= tightest.headers(self.clock())

    def use(self, rule: Rule, key: str, points: int) -> None:
        """Take points without a request."""
        self._take(rule, key, points)

    def _take(self, rule: Rule, key: str, points: int) -> Window:
        window = self._windows.get((rule.name, key))
        if window is None or window.seconds_left(self.clock()) <= 0:
            limit = Rule(rule.name, self.points.get(rule.name, rule.points), rule.seconds)
            window = self._windows[rule.name, key] = Window(limit, self.clock())
        window.used += points
        return window
