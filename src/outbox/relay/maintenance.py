"""The safety net: each minute a relay looks for lanes and accounts that nobody would come to.

It looks beside the claims, a page at a time, so that no delivery waits for what it finds, or for what it cannot find out.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from eventstore.database import Database
from outbox.mirror.lanes import LANES_PER_PAGE
from outbox.mirror.parking import schedule_overdue_probes
from outbox.relay.rescue import wake_forgotten
from outbox.threads import in_thread

logger = logging.getLogger("mastertape.outbox")

LOOK_SECONDS: Final = 60.0
AGAIN_SECONDS: Final = 1.0
"""After a page that was full: there is more."""


class SafetyNet:
    """Looks now and then; `found` is called after each look, for there may be work now."""

    def __init__(self, database: Database, found: Callable[[], object]) -> None:
        self._database = database
        self._found = found
        self._look_at = 0.0
        self._looking: asyncio.Task[None] | None = None

    def look_if_due(self) -> None:
        """Begin a look, unless one is under way or it is not yet time."""
        if self._looking is None and asyncio.get_running_loop().time() >= self._look_at:
            self._looking = asyncio.create_task(self._look())
            self._looking.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Let the look that is under way end."""
        if self._looking is not None:
            await asyncio.wait({self._looking})

    async def look(self) -> bool:
        """Look once, and say whether there may be more."""
        found = [await self._page(look) for look in (wake_forgotten, schedule_overdue_probes)]
        return max(map(len, found)) > LANES_PER_PAGE // 2  # of a full page, some may be in others' hands

    async def _look(self) -> None:
        pause = AGAIN_SECONDS if await self.look() else LOOK_SECONDS
        self._look_at = asyncio.get_running_loop().time() + pause

    async def _page(self, look: Callable[[Database], Sequence[str]]) -> Sequence[str]:
        try:
            return await in_thread(look, self._database)
        except Exception:
            logger.exception("safety_net_failed")  # the next look comes anyway
            return []

    def _ended(self, _look: "asyncio.Task[None]") -> None:
        self._looking = None
        self._found()
