"""Threads that the test runs step by step: each runs to its next step on the store, and waits there."""

import threading
from collections.abc import Callable

LIMIT = 30.0


class CrashError(BaseException):
    """The process ends here."""


class Actor:
    """One process. `step` lets it run to its next stop; it stops before and after each change of the store."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._go = threading.Semaphore(0)
        self._stopped = threading.Semaphore(0)
        self._work = work
        self.finished = False
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._wait()
            self._work()
        except BaseException as exc:  # noqa: BLE001 - raised again in the test
            self.error = exc
        self.finished = True
        self._stopped.release()

    def _wait(self) -> None:
        assert self._go.acquire(timeout=LIMIT), "the test did not run this actor on"

    def stop(self) -> None:
        """Wait, in the actor's own thread, until the test continues it."""
        self._stopped.release()
        self._wait()

    def step(self) -> None:
        self._go.release()
        assert self._stopped.acquire(timeout=LIMIT), "the actor is stuck"
        if self.error is not None:
            raise self.error


class Stage:
    """Maps the calling thread to its actor."""

    def __init__(self) -> None:
        self._local = threading.local()

    def enter(self, work: Callable[[], None]) -> Actor:
        def run() -> None:
            self._local.actor = actor
            work()

        actor = Actor(run)
        return actor

    def at(self, _step: str) -> None:
        actor: Actor | None = getattr(self._local, "actor", None)
        if actor is not None:
            actor.stop()
