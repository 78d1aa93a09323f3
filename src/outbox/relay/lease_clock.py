"""Measures a lease by this process's own monotonic clock, so that no other clock matters."""

import time
from collections.abc import Callable
from datetime import timedelta


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
