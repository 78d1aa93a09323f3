"""Lets requests wait for the record of their track to reach the PDS."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from eventstore.coordination.poller import Poller
from eventstore.database import Database
from outbox.relay.relay import Relay
from outbox.threads import THREADS
from outbox.views.status import Mirror, mirrors

POLL_SECONDS: Final = 0.05
"""Between two polls, for what another process settles."""
logger = logging.getLogger("mastertape.outbox")


class MirrorWaits:
    """Knows the mirrors of the tracks that requests wait for; polls at once when this process's relay has settled something."""

    def __init__(self, database: Database, relay: Relay | None = None) -> None:
        self._relay: Final = relay
        self._database: Final = database
        self._poller: Final = Poller(
            self._read, THREADS, every_seconds=POLL_SECONDS, logger=logger, failed="mirror_wait_read_failed"
        )
        if relay is not None:
            relay.on_settled = self._poller.wake

    def hurry(self, did: str) -> AbstractContextManager[None]:
        """Have this process's relay run the account's lane as soon as it is due, for as long as a request waits."""
        return self._relay.hurry(did) if self._relay is not None else nullcontext()

    async def wait(self, track_id: int, generation: int, seconds: float) -> bool:
        """Wait until the PDS has this generation or a newer one; False when time is up or only a person can help."""
        return await self._wait(track_id, lambda mirror: mirror.acked_generation >= generation, seconds)

    async def wait_delivered(self, track_id: int, seconds: float) -> bool:
        """Wait until nothing is left to do for the record, its blob and its earlier places included."""
        return await self._wait(track_id, lambda mirror: mirror.is_settled, seconds)

    async def finish(self) -> None:
        """Wait for the last poll to end. Call it once no request waits."""
        await self._poller.finish()

    async def _wait(self, track_id: int, is_met: Callable[[Mirror], bool], seconds: float) -> bool:
        def verdict(mirror: Mirror) -> bool | None:
            if is_met(mirror):
                return True
            return False if mirror.needs_intervention else None

        return await self._poller.wait(track_id, verdict, seconds)

    def _read(self, track_ids: list[int]) -> dict[int, Mirror]:
        with self._database.read() as connection:
            return mirrors(connection, track_ids)
