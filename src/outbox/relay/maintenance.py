"""Periodic maintenance: wakes stuck lanes, and schedules probes of accounts whose host has not answered for long.

It runs beside the claims, a page at a time, so that no delivery waits for it.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from eventstore.database import Database
from outbox.mirror.lanes import LANES_PER_PAGE
from outbox.mirror.parking import schedule_overdue_probes
from outbox.relay.rescue import wake_stuck_lanes
from outbox.threads import in_thread

logger = logging.getLogger("mastertape.outbox")

INTERVAL_SECONDS: Final = 60.0
FULL_PAGE_INTERVAL_SECONDS: Final = 1.0
"""After a full page, as there may be more."""


class Maintenance:
    """Runs once a minute; `on_done` is called after each pass, since there may be work to claim."""

    def __init__(self, database: Database, on_done: Callable[[], object]) -> None:
        self._database = database
        self._on_done = on_done
        self._due_at = 0.0
        self._pass: asyncio.Task[None] | None = None

    def start_if_due(self) -> None:
        """Start a pass, unless one is in progress or it is not yet time."""
        if self._pass is None and asyncio.get_running_loop().time() >= self._due_at:
            self._pass = asyncio.create_task(self._run())
            self._pass.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Wait for the pass in progress."""
        if self._pass is not None:
            await asyncio.wait({self._pass})

    async def run_page(self) -> bool:
        """Process one page of each kind; returns whether there may be more."""
        found = [await self._page(job) for job in (wake_stuck_lanes, schedule_overdue_probes)]
        return max(map(len, found)) > LANES_PER_PAGE // 2  # others may hold some lanes of a full page

    async def _run(self) -> None:
        pause = FULL_PAGE_INTERVAL_SECONDS if await self.run_page() else INTERVAL_SECONDS
        self._due_at = asyncio.get_running_loop().time() + pause

    async def _page(self, job: Callable[[Database], Sequence[str]]) -> Sequence[str]:
        try:
            return await in_thread(job, self._database)
        except Exception:
            logger.exception("safety_net_failed")  # the next pass tries again
            return []

    def _ended(self, _pass: "asyncio.Task[None]") -> None:
        self._pass = None
        self._on_done()
