"""Waiting for what happens next to an account, without a thread or a connection: one look for all who wait."""

import asyncio
import logging
from collections import defaultdict
from typing import Final

from eventstore.event_log import EventLog
from eventstore.threads import Threads
from projections.audit import newest_positions

LOOK_SECONDS: Final = 0.5
EVERYBODY: Final = None
"""Stands for all accounts."""

logger: Final = logging.getLogger("mastertape.application")

Heard = asyncio.Future[bool]


class EventPoller:
    """Tells any number of streams of one process that there is more to read."""

    def __init__(self, log: EventLog, threads: Threads) -> None:
        self._log = log
        self._threads = threads
        self._waiting: defaultdict[str | None, set[tuple[int, Heard]]] = defaultdict(set)
        self._looking: asyncio.Task[None] | None = None
        self._over = False

    async def after(self, did: str | None, position: int, seconds: float) -> bool:
        """Wait for an event of this account, or of anybody's, that is newer; False when the time is up, or the process ends."""
        if self._over:
            return False
        waiter = (position, asyncio.get_running_loop().create_future())
        self._waiting[did].add(waiter)
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look_for_all())
        try:
            return await asyncio.wait_for(waiter[1], seconds)
        except TimeoutError:
            return False
        finally:
            self._waiting[did].discard(waiter)
            if not self._waiting[did]:
                del self._waiting[did]

    def stop(self) -> None:
        """Let nobody wait any longer: else streams would hold up the end of their process."""
        self._over = True
        for waiting in self._waiting.values():
            for _, heard in waiting:
                if not heard.done():
                    heard.set_result(False)

    def newest(self, did: str | None) -> int:
        """Return the account's newest position (`None`: of all); no event up to it can still appear."""
        return self._newest([did]).get(did, 0)

    async def _look_for_all(self) -> None:
        while self._waiting:
            try:
                newest = await self._threads.run(self._newest, list(self._waiting))
            except Exception:
                logger.exception("news_read_failed")  # the database may come back before time is up
                newest = {}
            for did, position in newest.items():
                for known, heard in self._waiting.get(did, ()):
                    if position > known and not heard.done():
                        heard.set_result(True)
            await asyncio.sleep(LOOK_SECONDS)

    def _newest(self, dids: list[str | None]) -> dict[str | None, int]:
        found: dict[str | None, int] = {}
        if EVERYBODY in dids:
            found[EVERYBODY] = self._log.stable_position()
        with self._log.database.read() as connection:
            found.update(newest_positions(connection, [did for did in dids if did is not None]))
        return found
