"""What one account may have under way in one process, so that it cannot use up the threads and connections of all."""

import asyncio
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from typing import Annotated, Final
from weakref import WeakValueDictionary

from fastapi import Depends, Request

from api.errors import TooManyUploadsError

MAX_CONCURRENT_UPLOADS: Final = 4
RETRY_AFTER_SECONDS: Final = 5


class AccountTurns:
    """One command of an account at a time, awaited without a thread. Other processes meet at the append lock."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def of(self, did: str) -> asyncio.Lock:
        """Return the account's lock, which goes once no request holds or awaits it."""
        if (lock := self._locks.get(did)) is None:
            lock = self._locks[did] = asyncio.Lock()
        return lock


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


async def account_turns(request: Request) -> AccountTurns:
    turns: AccountTurns = request.app.state.turns
    return turns


Turns = Annotated[AccountTurns, Depends(account_turns)]
