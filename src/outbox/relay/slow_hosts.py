"""The hosts that take long to answer, learned from their answers to this process, and forgotten with it."""

from collections.abc import Container
from typing import Final

SLOW_SECONDS: Final = 5.0
"""A delivery takes a tenth of it at most hosts."""


class SlowHosts(Container[str]):
    """Contains the hosts whose deliveries take SLOW_SECONDS or more on average, each counting half as much as the one after it.

    A host that has just become quick is released after a few deliveries.
    """

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}

    def __contains__(self, host: object) -> bool:
        return host in self._seconds

    def record(self, host: str, seconds: float) -> None:
        """Record how long a delivery took that the host answered."""
        average = (self._seconds.get(host, seconds) + seconds) / 2
        if average < SLOW_SECONDS:
            self._seconds.pop(host, None)
        else:
            self._seconds[host] = average
