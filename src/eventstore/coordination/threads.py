"""Named pools of threads for blocking calls, so that one kind of work never waits for the threads of another."""

import asyncio
import contextvars
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, Final, Generic, ParamSpec, TypeVar
from weakref import WeakValueDictionary

from eventstore.errors import ThreadsBusyError

P = ParamSpec("P")
T = TypeVar("T")


class Threads:
    """At most `size` threads, started when they are first needed; work that none begins within `max_wait_seconds` is refused."""

    def __init__(self, name: str, size: int, *, max_wait_seconds: float | None = None) -> None:
        self.name: Final = name
        self.size: Final = size
        self.busy = 0
        """Threads that work now."""
        self._counting: Final = threading.Lock()
        self._max_wait_seconds: Final = max_wait_seconds
        self._pool: Final = ThreadPoolExecutor(size, thread_name_prefix=name)

    async def run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking work in a thread, in the caller's context; raises ThreadsBusyError."""

        def counted() -> T:
            with self._counting:
                self.busy += 1
            try:
                return work(*args, **kwargs)
            finally:
                with self._counting:
                    self.busy -= 1

        call = partial(contextvars.copy_context().run, counted)
        if self._max_wait_seconds is None:
            return await asyncio.get_running_loop().run_in_executor(self._pool, call)
        future = self._pool.submit(call)
        result = asyncio.wrap_future(future)
        try:
            await asyncio.wait({result}, timeout=self._max_wait_seconds)
            if future.cancel():  # which only work that has not begun allows
                raise ThreadsBusyError(self.name)
            return await result
        except asyncio.CancelledError:
            result.cancel()
            raise


def begun(name: str, work: Callable[[], T]) -> "Future[T]":
    """Begin work that may hang in a thread of its own, which does not keep the process from ending."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised in the caller's thread
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


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
