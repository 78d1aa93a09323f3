"""How long a delivery may take: it must end while its lane's lease still holds."""

import asyncio
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Final

MIN_REQUEST_SHARE: Final = 0.1
"""The share of a delivery's time below which no further request begins."""


class LeaseClock:
    """How long this process may send under leases that it claims after making this."""

    def __init__(self, length: timedelta, clock: Callable[[], float] = time.monotonic) -> None:
        self._length = length.total_seconds()
        self._clock = clock
        self._started = clock()

    @property
    def age(self) -> float:
        """The seconds since the lease was claimed, at most."""
        return self._clock() - self._started

    def seconds_left_to_send(self) -> float:
        """The seconds for the requests of one more delivery: a quarter of the lease is kept to settle; 0 after half of it."""
        left = self._length - self.age
        return left - self._length / 4 if left > self._length / 2 else 0.0


class Deadline:
    """When all requests of a delivery must have ended, so that the lease still holds."""

    def __init__(self, seconds: float) -> None:
        self._clock = asyncio.get_running_loop().time
        self._ends = self._clock() + seconds
        self._least = seconds * MIN_REQUEST_SHARE

    def within(self, seconds: float) -> float:
        """Return the seconds for one more request; 0 when too little is left for an answer."""
        left = self._ends - self._clock()
        return min(seconds, left) if left >= self._least else 0.0
