"""Named pools of threads for blocking calls, so that one kind of work never waits for the threads of another."""

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Final, ParamSpec, TypeVar

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
