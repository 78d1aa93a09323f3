"""How many uploads one account may have under way in one process: each holds a file and a connection while it lasts."""

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from api.refusals import TooManyUploadsError

AT_ONCE: Final = 4


class UploadsAtOnce:
    """Counts them by account."""

    def __init__(self, most: int = AT_ONCE) -> None:
        self._most = most
        self._under_way: Counter[str] = Counter()

    @contextmanager
    def of(self, did: str) -> Generator[None]:
        """Take a place for as long as the block; raises TooManyUploadsError when there is none."""
        if self._under_way[did] >= self._most:
            raise TooManyUploadsError(retry_after=5)
        self._under_way[did] += 1
        try:
            yield
        finally:
            self._under_way[did] -= 1
            if not self._under_way[did]:
                del self._under_way[did]
