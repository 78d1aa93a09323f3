"""An event loop whose time jumps to the next timer when no task is ready, and threads that run inside it.

The seed decides everything that happens: there are no threads, no sockets and no waiting.
"""

import asyncio
import math
from collections.abc import Callable, Coroutine
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, TypeVar

T = TypeVar("T")
Step = Callable[[], None]


class DeadlockError(Exception):
    """Every task waits for another, and no timer is set."""


class Life(Enum):
    RUNNING = "running"
    FROZEN = "frozen"
    DEAD = "dead"


@dataclass(eq=False)
class Process:
    """Tasks that live and die together: what a dead one would do next, to database or network, never happens."""

    name: str
    life: Life = Life.RUNNING
    waiting: list[Step] = field(default_factory=list)
    died_at: float = math.inf

    def kill(self, at: float) -> None:
        """End it as kill -9 does: between two effects, with no clean-up."""
        self.life, self.died_at = Life.DEAD, at
        self.waiting.clear()

    def freeze(self) -> None:
        """Stop it as a long pause of the machine does."""
        if self.life is Life.RUNNING:
            self.life = Life.FROZEN

    def thaw(self) -> None:
        """Let it go on as if no time had passed."""
        if self.life is Life.FROZEN:
            self.life = Life.RUNNING
            steps, self.waiting = self.waiting, []
            for step in steps:
                step()

    def start(self, loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        context = copy_context()
        context.run(_current.set, self)
        return loop.create_task(coroutine, context=context)


_current: ContextVar[Process | None] = ContextVar("process", default=None)


def current_process() -> Process | None:
    return _current.get()


def allowed(process: Process | None, step: Step) -> None:
    """Take the step, unless its process is dead; later, if it is frozen."""
    if process is None or process.life is Life.RUNNING:
        step()
    elif process.life is Life.FROZEN:
        process.waiting.append(lambda: allowed(process, step))


class _Timers:
    """In place of a selector: instead of waiting for sockets, lets the time pass at once."""

    def __init__(self) -> None:
        self.now = 0.0

    def select(self, timeout: float | None) -> list[Any]:
        if timeout is None:
            raise DeadlockError
        self.now += timeout
        return []


class VirtualLoop(asyncio.base_events.BaseEventLoop):
    """`thread_delay` gives how long a call of asyncio.to_thread waits to begin, and again until its end is noticed."""

    def __init__(self, thread_delay: Callable[[], float] = lambda: 0.0) -> None:
        super().__init__()
        self._selector = _Timers()
        self.thread_delay = thread_delay
        self._ending = False
        self._threads: dict[asyncio.Future[Any], Process | None] = {}
        self.set_exception_handler(self._keep)
        self.errors: list[dict[str, Any]] = []

    def time(self) -> float:
        """Seconds since the loop was made; nothing else moves them on."""
        return self._selector.now

    def run_in_executor(self, executor: Any, func: Callable[..., T], *args: Any) -> "asyncio.Future[T]":  # noqa: ARG002
        """Call the function here, all of it at one moment; the process may end before and after."""
        process, future = current_process(), self.create_future()
        if self._ending:
            future.cancel()
            return future
        self._threads[future] = process
        future.add_done_callback(self._threads.pop)

        def work() -> None:
            try:
                answer, value = future.set_result, func(*args)
            except BaseException as error:  # noqa: BLE001 - the caller gets it, as from a thread
                answer, value = future.set_exception, error
            self.call_later(self.thread_delay(), allowed, process, lambda: future.done() or answer(value))

        self.call_later(self.thread_delay(), allowed, process, work)
        return future

    @property
    def has_threads(self) -> bool:
        """Whether a thread of a process that is not dead has not ended yet."""
        return any(each is None or each.life is not Life.DEAD for each in self._threads.values())

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run until the coroutine ends; everything else stays where it is until the next time."""
        return self.run_until_complete(coroutine)

    def advance(self, seconds: float) -> None:
        """Let this much time pass, and everything happen that is due in it."""
        self.run(asyncio.sleep(seconds))

    def end(self) -> None:
        """Close. Running tasks are cancelled until they end, and their cleanup has no effect."""
        self._ending = True
        while tasks := asyncio.all_tasks(self):
            for task in tasks:
                task.cancel()
            self.run(asyncio.sleep(0))
        self.close()

    def _keep(self, _loop: Any, context: dict[str, Any]) -> None:
        self.errors.append(context)

    def _process_events(self, _events: list[Any]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass
