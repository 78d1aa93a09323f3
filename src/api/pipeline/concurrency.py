"""What one account may have under way in one process, so that it cannot use up the threads and connections of all."""

from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated, Final

from fastapi import Depends, Request

from api.errors import TooManyUploadsError
from eventstore.coordination.turns import Turns

MAX_CONCURRENT_UPLOADS: Final = 4
RETRY_AFTER_SECONDS: Final = 5


class ConcurrentUploads:
    """Counts the uploads under way by account: each holds a file and a connection."""

    def __init__(self) -> None:
        self._under_way: Counter[str] = Counter()

    @contextmanager
    def of(self, did: str) -> Generator[None]:
        """Count one upload for as long as the block; raises TooManyUploadsError."""
        if self._under_way[did] >= MAX_CONCURRENT_UPLOADS:
            raise TooManyUploadsError(retry_after=RETRY_AFTER_SECONDS)
        self._under_way[did] += 1
        try:
            yield
        finally:
            self._under_way[did] -= 1
            if not self._under_way[did]:
                del self._under_way[did]


async def account_turns(request: Request) -> Turns:
    turns: Turns = request.app.state.turns
    return turns


AccountTurns = Annotated[Turns, Depends(account_turns)]
"""One command of an account at a time. Other processes meet at the append lock."""
