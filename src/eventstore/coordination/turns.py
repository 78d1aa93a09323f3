"""Turns, of which an account or a host has few at a time, and work that is done once for all that ask meanwhile."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Hashable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final, Generic, TypeVar
from weakref import WeakValueDictionary

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


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
                turns = self._of_keys.setdefault(key, asyncio.Semaphore(self._of_a_key))
                await held.enter_async_context(turns)
            if self._in_all is not None:
                await held.enter_async_context(self._in_all)
            yield


class Joint(Generic[K, V]):
    """Work of which one task at a time runs for a key; it goes on when those that asked for it have gone."""

    def __init__(self) -> None:
        self._tasks: Final[dict[K, asyncio.Task[V]]] = {}

    def task(self, key: K, work: Callable[[], Coroutine[Any, Any, V]]) -> asyncio.Task[V]:
        if (task := self._tasks.get(key)) is None:
            task = self._tasks[key] = asyncio.create_task(work())
            task.add_done_callback(lambda done: self._ended(key, done))
        return task

    async def result(self, key: K, work: Callable[[], Coroutine[Any, Any, V]]) -> V:
        return await asyncio.shield(self.task(key, work))

    async def settled(self) -> None:
        """Wait for all that is under way, however it ends."""
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _ended(self, key: K, task: asyncio.Task[V]) -> None:
        del self._tasks[key]
        if not task.cancelled():
            task.exception()  # mark it as retrieved, even if every caller has gone
