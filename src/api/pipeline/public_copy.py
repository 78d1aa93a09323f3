"""What a command makes public: the copy is there before the command says so, and goes if it comes to nothing."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Final

from starlette.concurrency import run_in_threadpool

from aggregates.values import Audio, SupportGate
from api.pipeline.command_request import Tell
from api.pipeline.media_intake import MediaWork
from api.services import Services
from application.authorization import OnTrack
from application.tracks.as_of import track_at_version
from application.tracks.revert import Revert
from eventstore.unit_of_work import UnitOfWork
from projections.track_queries import track_by_id
from projections.track_view import TrackView
from storage.public.copies import Hold


class Publishing:
    """The public copy of one command; where the store has none, nothing."""

    def __init__(self, services: Services, work: MediaWork) -> None:
        self._parts: Final = services
        self._publisher: Final = services.publisher
        self._work: Final = work
        self._held: Hold | None = None

    async def before_upload(self, audio: Audio, gate: SupportGate | None) -> None:
        """A new track is public unless it is gated."""
        if gate is None:
            await self._publish(audio)

    async def before_ungating(self, on: OnTrack) -> None:
        """The audio that it has becomes public."""
        view = await self._view(on)
        if view is not None and view.support_gate is not None:
            await self._publish(view.audio)

    async def before_replacing(self, on: OnTrack, audio: Audio) -> None:
        """The new audio is as public as the old."""
        view = await self._view(on)
        if view is not None and view.support_gate is None and view.audio.cid != audio.cid:
            await self._publish(audio)

    async def before_undeleting(self, on: OnTrack) -> None:
        """The audio is as public as it was."""
        view = await self._view(on)
        if view is not None and view.support_gate is None and view.deleted_at is not None:
            await self._publish(view.audio)

    async def before_lifting(self, on: OnTrack) -> None:
        """A track that was taken down is as public again as it is open."""
        view = await self._view(on, taken_down=True)
        if view is not None and view.support_gate is None and view.deleted_at is None:
            await self._publish(view.audio)

    async def before_reverting(self, command: Revert) -> None:
        """What it goes back to may be public where what it is now is not."""
        view = await self._view(command)
        if view is not None:
            audio = await run_in_threadpool(self._made_public, command, view)
            if audio is not None:
                await self._publish(audio)

    def through(self, tell: Tell) -> Tell:
        """Let the track itself keep the copy, from the commit of the command on."""

        def told(unit: UnitOfWork) -> int:
            track_id = tell(unit)
            self.take_over(unit)
            return track_id

        return told

    def take_over(self, unit: UnitOfWork) -> None:
        """Let the track itself keep the copy, in the unit that has given it its command."""
        if self._publisher is not None and self._held is not None:
            self._publisher.release(unit.connection, self._held)
            unit.after_commit(self._taken_over)

    async def let_go(self) -> None:
        """Let go of what no command has taken over."""
        if self._publisher is not None and self._held is not None:
            await run_in_threadpool(self._publisher.let_go, self._held)

    async def _publish(self, audio: Audio) -> None:
        """Make the copy; a store that does not answer refuses the command, before anything names it."""
        if self._publisher is not None:
            self._held = await self._work.publish(self._publisher, audio)

    async def _view(self, on: OnTrack, *, taken_down: bool = False) -> TrackView | None:
        """Return the track as it is now, if the command still means that version; no command makes one public that is taken down."""
        if self._publisher is None:
            return None
        view = await run_in_threadpool(self._read, on.track_id)
        meant = view is not None and (on.versions is None or view.visible_version in on.versions)
        return view if view is not None and meant and (view.taken_down_at is not None) is taken_down else None

    def _read(self, track_id: int) -> TrackView | None:
        with self._parts.database.read() as connection:
            return track_by_id(connection, track_id)

    def _made_public(self, command: Revert, now: TrackView) -> Audio | None:
        with self._parts.database.read() as connection:
            past = track_at_version(self._parts.log, connection, command.track_id, command.to_version)
        gate = past.support_gate if "support_gate" in command.fields else now.support_gate
        audio = past.audio if "audio" in command.fields else now.audio
        is_new = now.support_gate is not None or audio.cid != now.audio.cid
        return audio if gate is None and is_new else None

    def _taken_over(self) -> None:
        self._held = None


@asynccontextmanager
async def publishing(services: Services, work: MediaWork) -> AsyncGenerator[Publishing]:
    """Publish for as long as the block, in which the command is performed."""
    copy = Publishing(services, work)
    try:
        yield copy
    finally:
        await copy.let_go()
