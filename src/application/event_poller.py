"""Lets event streams wait for the next event of an account, or of all accounts."""

import logging
from typing import Final

from eventstore.coordination.poller import Poller
from eventstore.coordination.threads import Threads
from eventstore.event_log import EventLog
from projections.audit import newest_positions

POLL_SECONDS: Final = 0.5
ALL_ACCOUNTS: Final = None

logger: Final = logging.getLogger("mastertape.application")


class EventPoller:
    """Knows the newest position of each account that a stream follows; `None` stands for all accounts."""

    def __init__(self, log: EventLog, threads: Threads) -> None:
        self._log: Final = log
        self._poller: Final = Poller(
            self._newest, threads, every_seconds=POLL_SECONDS, logger=logger, failed="news_read_failed"
        )

    async def after(self, did: str | None, position: int, seconds: float) -> bool:
        """Wait for an event after this position; False when the time is up, or the process ends."""
        return await self._poller.wait(did, lambda newest: newest > position or None, seconds)

    def stop(self) -> None:
        """End every wait."""
        self._poller.stop()

    def newest(self, did: str | None) -> int:
        """Return the account's newest position; no event up to it can still appear."""
        return self._newest([did]).get(did, 0)

    def _newest(self, dids: list[str | None]) -> dict[str | None, int]:
        found: dict[str | None, int] = {}
        if ALL_ACCOUNTS in dids:
            found[ALL_ACCOUNTS] = self._log.stable_position()
        with self._log.database.read() as connection:
            found.update(newest_positions(connection, [did for did in dids if did is not None]))
        return found
