"""The public copy of audio that a command makes public: made before the commit, kept by the track from then on."""

from typing import TYPE_CHECKING, Final

from starlette.concurrency import run_in_threadpool

from aggregates.values import Audio
from api.pipeline.media_intake import MediaIntake
from eventstore.unit_of_work import UnitOfWork
from storage.public.publisher import Publisher

if TYPE_CHECKING:
    from storage.public.copies import Reservation


class PublicCopy:
    """At most one copy: its maker hands it over to a track, or drops it."""

    def __init__(self, publisher: Publisher, intake: MediaIntake) -> None:
        self._publisher: Final = publisher
        self._intake: Final = intake
        self._reservation: Reservation | None = None

    async def make(self, audio: Audio) -> None:
        """Copy stored audio; raises StoreUnavailableError, before anything names the copy."""
        self._reservation = await self._intake.publish(self._publisher, audio)

    def hand_over(self, unit: UnitOfWork) -> None:
        """Let the track keep the copy, in the unit that runs its command."""
        if self._reservation is not None:
            self._publisher.hand_over(unit.connection, self._reservation)
            unit.after_commit(self._forget)

    async def drop(self) -> None:
        """Drop a copy that no commit has handed over."""
        if self._reservation is not None:
            await run_in_threadpool(self._publisher.cancel, self._reservation)

    def _forget(self) -> None:
        self._reservation = None
