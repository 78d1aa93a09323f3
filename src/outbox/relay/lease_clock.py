"""How long a lease lets its holder send: by a clock of this process's own, so that no other clock matters."""

import time
from collections.abc import Callable
from datetime import timedelta


class SendingTime:
    """How long this process may still send under the leases that it is about to take."""

    def __init__(self, length: timedelta, clock: Callable[[], float] = time.monotonic) -> None:
        self._length = length.total_seconds()
        self._clock = clock
        self._taken = clock()

    @property
    def age(self) -> float:
        """The seconds since it was taken."""
        return self._clock() - self._taken

    def seconds_to_send(self) -> float:
        """The seconds for all requests of one more delivery; a quarter is left to settle it, 0 when too little is."""
        left = self._length - self.age
        return left - self._length / 4 if left > self._length / 2 else 0.0
