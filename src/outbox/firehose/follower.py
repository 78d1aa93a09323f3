"""The follower: hears of what others do to our records as it happens. A scan finds what it misses.

Any number of processes may run one: each host is listened to by one of them.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from eventstore.database import Database
from outbox.firehose.cursors import claim_streams, dids_at, release_streams
from outbox.firehose.subscription import Hearing, Listening, Reports
from outbox.mirror.hosts import Hosts
from outbox.ports import Addresses
from outbox.threads import in_thread

logger = logging.getLogger("mastertape.outbox")

STREAMS: Final = 500
"""The most hosts that one process listens to."""
LEASE: Final = timedelta(seconds=60)
LOOK_SECONDS: Final = 5.0
DIDS_SECONDS: Final = 30.0
"""How often the accounts of a host are read again. A new account is noticed this late; until then it has only our writes."""


@dataclass
class _Stream:
    listening: Listening
    task: "asyncio.Task[None]"
    known_at: float
    """When its accounts were read."""


class Follower:
    """Listens until it is stopped."""

    def __init__(
        self,
        database: Database,
        hosts: Hosts,
        addresses: Addresses,
        *,
        owner: str,
        reports: Reports | None = None,
    ) -> None:
        self._database = database
        self._hosts = hosts
        self._addresses = addresses
        self._owner = owner
        self._reports = reports or Reports()
        self._streams: dict[str, _Stream] = {}

    @property
    def hearings(self) -> Mapping[str, Hearing]:
        """Return the status of each of this process's streams, by host."""
        return {host: stream.listening.hearing for host, stream in list(self._streams.items())}

    async def run(self, stop: asyncio.Event) -> None:
        """Listen to hosts that nobody listens to, until `stop` is set; then let others."""
        stopped = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                try:
                    await self._look()
                except Exception:
                    logger.exception("firehose_look_failed")  # a database that is away comes back
                await asyncio.wait({stopped}, timeout=LOOK_SECONDS)
        finally:
            stopped.cancel()
            await self._leave(list(self._streams))
        await in_thread(release_streams, self._database, self._owner)

    async def _look(self) -> None:
        held = await in_thread(claim_streams, self._database, owner=self._owner, lease=LEASE, limit=STREAMS)
        over = [host for host, each in self._streams.items() if host not in held or each.task.done()]
        await self._leave(over)
        for host in held:
            await self._keep(host)

    async def _keep(self, host: str) -> None:
        """Listen, if that is new, and know of new accounts after a while."""
        now, stream = asyncio.get_running_loop().time(), self._streams.get(host)
        if stream is not None and now - stream.known_at < DIDS_SECONDS:
            return
        dids = await in_thread(dids_at, self._database, host)
        if stream is None:
            listening = Listening(
                self._database,
                self._hosts,
                self._addresses,
                host,
                dids,
                owner=self._owner,
                reports=self._reports,
            )
            self._streams[host] = _Stream(listening, asyncio.create_task(listening.run()), now)
        else:
            stream.listening.dids, stream.known_at = dids, now

    async def _leave(self, hosts: list[str]) -> None:
        tasks = [self._streams.pop(host).task for host in hosts]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
