"""Turns: at most so many at a time for one account or host, and in all; awaited without a thread or a connection."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final
from weakref import WeakValueDictionary


class Turns:
    """Limits what runs at a time. What waits for its key's turn takes none of all: a host that hangs leaves room for others."""

    def __init__(self, of_a_key: int, in_all: int | None = None) -> None:
        self._of_a_key: Final = of_a_key
        self._of_keys: Final[WeakValueDictionary[str, asyncio.Semaphore]] = WeakValueDictionary()
        """While any holds or awaits a turn."""
        self._in_all: Final = None if in_all is None else asyncio.Semaphore(in_all)

    @asynccontextmanager
    async def of(self, key: str | None) -> AsyncGenerator[None]:
        """Wait for a turn, and hold it for as long as the block; None counts in all alone."""
        async with AsyncExitStack() as held:
            if key is not None:
                await held.enter_async_context(self._of_key(key))
            if self._in_all is not None:
                await held.enter_async_context(self._in_all)
            yield

    def _of_key(self, key: str) -> asyncio.Semaphore:
        if (turns := self._of_keys.get(key)) is None:
            turns = self._of_keys[key] = asyncio.Semaphore(self._of_a_key)
        return turns
