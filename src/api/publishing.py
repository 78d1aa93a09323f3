"""What a command makes public: the copy is there before the command says so, and goes if it comes to nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.concurrency import run_in_threadpool

from aggregates.values import Audio
from api.media_work import MediaWork
from eventstore.unit import Unit
from storage.public_rows import Hold
from storage.publisher import Publisher


class Publishing:
    """The public copy of one command; where the store has none, nothing."""

    def __init__(self, publisher: Publisher | None, work: MediaWork) -> None:
        self._publisher = publisher
        self._work = work
        self._held: Hold | None = None

    async def before(self, audio: Audio) -> None:
        """Make the copy, before the unit; a store that does not answer refuses the command."""
        if self._publisher is not None:
            self._held = await self._work.publish(self._publisher, audio)

    def within(self, unit: Unit) -> None:
        """From the unit's commit on the track itself keeps the copy."""
        if self._publisher is not None and self._held is not None:
            self._publisher.release(unit.connection, self._held)
            unit.after_commit(self._taken_over)

    async def let_go(self) -> None:
        """Let go of what no unit has taken over."""
        if self._publisher is not None and self._held is not None:
            await run_in_threadpool(self._publisher.let_go, self._held)

    def _taken_over(self) -> None:
        self._held = None


@asynccontextmanager
async def publishing(publisher: Publisher | None, work: MediaWork) -> AsyncIterator[Publishing]:
    """Publish for as long as the block, in which the command is performed."""
    copy = Publishing(publisher, work)
    try:
        yield copy
    finally:
        await copy.let_go()
