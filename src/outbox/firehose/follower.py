"""The follower: subscribes to the firehoses of our accounts' hosts; a scan finds what it misses.

Any number of processes may run one: each host's stream is leased to one of them.
"""

import asyncio
import logging
from datetime import timedelta
from functools import partial
from typing import Final

from eventstore.database import Database
from outbox.firehose.connection import Share
from outbox.firehose.cursors import claim_streams, release_streams
from outbox.firehose.subscription import StreamReports, Subscription
from outbox.mirror.hosts import Hosts
from outbox.ports import Addresses

logger = logging.getLogger("mastertape.outbox")

MAX_STREAMS: Final = 500
"""Of one process, one per host."""
STREAM_LEASE: Final = timedelta(seconds=60)
CLAIM_INTERVAL_SECONDS: Final = 5.0


class Follower:
    """Keeps this process's subscriptions until it is stopped."""

    def __init__(
        self,
        database: Database,
        hosts: Hosts,
        addresses: Addresses,
        *,
        owner: str,
        reports: StreamReports | None = None,
    ) -> None:
        self._database = database
        self._owner = owner
        self._share = Share()
        self._subscription = partial(
            Subscription,
            database,
            hosts,
            addresses,
            owner=owner,
            share=self._share,
            reports=reports or StreamReports(),
        )
        self._streams: dict[str, asyncio.Task[None]] = {}

    async def run(self, stop: asyncio.Event) -> None:
        """Claim streams and subscribe, until `stop` is set; then release them."""
        stopped = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                try:
                    await self._claim()
                except Exception:
                    logger.exception("firehose_look_failed")  # the database may be back next time
                await asyncio.wait({stopped}, timeout=CLAIM_INTERVAL_SECONDS)
        finally:
            stopped.cancel()
            await self._unsubscribe(list(self._streams))
        await self._share.in_thread(release_streams, self._database, self._owner)

    async def _claim(self) -> None:
        held = await self._share.in_thread(
            claim_streams, self._database, owner=self._owner, lease=STREAM_LEASE, limit=MAX_STREAMS
        )
        ended = [host for host, task in self._streams.items() if host not in held or task.done()]
        await self._unsubscribe(ended)
        for host in held:
            if host not in self._streams:
                self._streams[host] = asyncio.create_task(self._subscription(host).run())

    async def _unsubscribe(self, hosts: list[str]) -> None:
        tasks = [self._streams.pop(host) for host in hosts]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
