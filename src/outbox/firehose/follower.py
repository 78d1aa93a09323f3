"""The follower: subscribes to the firehoses of our accounts' hosts; a scan finds what it misses.

Any number of processes may run one: each host's stream is leased to one of them.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from eventstore.database import Database
from outbox.firehose.cursors import claim_streams, dids_at, release_streams
from outbox.firehose.subscription import StreamReports, StreamStatus, Subscription
from outbox.mirror.hosts import Hosts
from outbox.ports import Addresses
from outbox.threads import in_thread

logger = logging.getLogger("mastertape.outbox")

MAX_STREAMS: Final = 500
"""Of one process, one per host."""
STREAM_LEASE: Final = timedelta(seconds=60)
CLAIM_INTERVAL_SECONDS: Final = 5.0
DIDS_INTERVAL_SECONDS: Final = 30.0
"""The time between two reads of a host's accounts. A new account is noticed this late; until then only we write to it."""


@dataclass
class _Stream:
    subscription: Subscription
    task: "asyncio.Task[None]"
    dids_read_at: float
    """The loop's time at which its accounts were read."""


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
        self._hosts = hosts
        self._addresses = addresses
        self._owner = owner
        self._reports = reports or StreamReports()
        self._streams: dict[str, _Stream] = {}

    @property
    def statuses(self) -> Mapping[str, StreamStatus]:
        """The status of each of this process's streams, by host."""
        return {host: stream.subscription.status for host, stream in list(self._streams.items())}

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
        await in_thread(release_streams, self._database, self._owner)

    async def _claim(self) -> None:
        held = await in_thread(
            claim_streams, self._database, owner=self._owner, lease=STREAM_LEASE, limit=MAX_STREAMS
        )
        ended = [host for host, each in self._streams.items() if host not in held or each.task.done()]
        await self._unsubscribe(ended)
        for host in held:
            await self._subscribe(host)

    async def _subscribe(self, host: str) -> None:
        """Subscribe if that is new; otherwise refresh the host's accounts, if they are old."""
        now, stream = asyncio.get_running_loop().time(), self._streams.get(host)
        if stream is not None and now - stream.dids_read_at < DIDS_INTERVAL_SECONDS:
            return
        dids = await in_thread(dids_at, self._database, host)
        if stream is None:
            subscription = Subscription(
                self._database,
                self._hosts,
                self._addresses,
                host,
                dids,
                owner=self._owner,
                reports=self._reports,
            )
            self._streams[host] = _Stream(subscription, asyncio.create_task(subscription.run()), now)
        else:
            stream.subscription.dids, stream.dids_read_at = dids, now

    async def _unsubscribe(self, hosts: list[str]) -> None:
        tasks = [self._streams.pop(host).task for host in hosts]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
