"""The follower: subscribes to the firehoses of our accounts' hosts; a scan finds what it misses.

Any number of processes may run one: each host's stream is leased to one of them.
"""

import asyncio
import logging
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import KW_ONLY, dataclass, field
from datetime import UTC, datetime, timedelta
from math import inf
from typing import Any, Final

from eventstore.coordination.backoff import backoff
from eventstore.coordination.commit_signals import Wake, announce
from eventstore.errors import LeaseLostError
from eventstore.sql.database import Database
from eventstore.streams.buckets import bucket_of
from eventstore.untrusted import clean
from outbox.firehose.connection import Share, subscribed
from outbox.firehose.cursors import accounts_at, change_stream, claim_streams, cursor_of, release_streams
from outbox.firehose.frames import (
    FUTURE_CURSOR,
    MAX_ERROR_LENGTH,
    OUTDATED_CURSOR,
    Commit,
    FirehoseEffect,
    FirehoseError,
    Message,
    message_in,
)
from outbox.firehose.outsiders import Index, Outsiders
from outbox.firehose.own_writes import foreign_writes, record_revision
from outbox.mirror.hosts import Hosts
from outbox.mirror.parking import request_probe
from outbox.mirror.requeue import rescan, reverify
from outbox.ports import Addresses

logger = logging.getLogger("mastertape.outbox")

CURSOR_INTERVAL_SECONDS: Final = 5.0
"""The time between two stores of the cursor: after a crash so much of a stream is processed again."""
FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 1.0, 64.0
"""Before a new connection."""
DIDS_INTERVAL_SECONDS: Final = 30.0
"""The time between two reads of a host's accounts. A new account is noticed this late; until then only we write to it."""
PROBE_INTERVAL: Final = timedelta(minutes=1)
"""Between two probes of an account that a stream asks for: a host may send such messages without end."""
MAX_STREAMS: Final = 500
"""Of one process, one per host."""
STREAM_LEASE: Final = timedelta(seconds=60)
CLAIM_INTERVAL_SECONDS: Final = 5.0


INFO: Final = "info"
PROBED: Final = {FirehoseEffect.ACCOUNT, FirehoseEffect.IDENTITY}
SCANNED: Final = {FirehoseEffect.COMMIT, FirehoseEffect.SYNC}
WITHOUT_WORK: Final = {None, FirehoseEffect.KNOWN, FirehoseEffect.OUTSIDER, FirehoseEffect.DROPPED}
"""Effects that leave the relay nothing to do."""


@dataclass
class Follower:
    database: Database
    hosts: Hosts
    addresses: Addresses
    index: Index
    _: KW_ONLY
    owner: str
    marked: Wake = lambda *_: None
    """Called when there is work for the relay."""
    heard: Callable[[FirehoseEffect], None] = lambda _effect: None
    """Called with the effect of each message about our accounts, or about what outsiders say."""
    share: Share = field(default_factory=Share)
    streams: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    """By host."""

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
            await self._unsubscribe(list(self.streams))
        await self.share.in_thread(release_streams, self.database, self.owner)

    async def _claim(self) -> None:
        held = await self.share.in_thread(
            claim_streams, self.database, owner=self.owner, lease=STREAM_LEASE, limit=MAX_STREAMS
        )
        ended = [host for host, task in self.streams.items() if host not in held or task.done()]
        await self._unsubscribe(ended)
        for host in held:
            if host not in self.streams:
                self.streams[host] = asyncio.create_task(Subscription(self, host).run())

    async def _unsubscribe(self, hosts: list[str]) -> None:
        tasks = [self.streams.pop(host) for host in hosts]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass
class Subscription:
    """Runs until it is cancelled or another process holds the stream."""

    follower: Follower
    host: str
    dids: AbstractSet[str] = frozenset()
    """Our accounts on the host."""
    probes: dict[str, datetime] = field(default_factory=dict)
    """When each account is, or was, probed because of its newest message."""
    outsiders: Outsiders = field(init=False)

    def __post_init__(self) -> None:
        self.outsiders = Outsiders(self.host, self.follower.index, self.follower.share)

    async def run(self) -> None:
        """Subscribe, and after a pause again whenever the stream ends."""
        clock, share = asyncio.get_running_loop().time, self.follower.share
        failures = 0
        reading = asyncio.create_task(self.outsiders.read())
        try:
            while True:
                begun_at = clock()
                try:
                    if await share.in_thread(self.follower.hosts.may_send, self.host, can_wait=True):
                        await self._listen()
                except LeaseLostError:
                    return
                except Exception as error:  # noqa: BLE001 - the stream is opened again after any error
                    await self._disconnected(error)
                failures = failures + 1 if clock() - begun_at < MAX_PAUSE_SECONDS else 0
                pause = backoff(failures, first=FIRST_PAUSE_SECONDS, cap=MAX_PAUSE_SECONDS)
                await asyncio.sleep(pause.total_seconds())
        finally:
            reading.cancel()

    async def _listen(self) -> None:
        database, share = self.follower.database, self.follower.share
        cursor = await share.in_thread(cursor_of, database, self.host)
        async with subscribed(self.host, cursor, self.follower.addresses, share) as connection:
            await self._change(connected_at=datetime.now(UTC), problem=None)
            clock = asyncio.get_running_loop().time
            stored_at, dids_at, place = clock(), -inf, dict[str, Any]()
            while True:
                if clock() - dids_at >= DIDS_INTERVAL_SECONDS:
                    self.dids = await share.in_thread(accounts_at, database, self.host)
                    dids_at = clock()
                for data in await connection.read(CURSOR_INTERVAL_SECONDS):
                    with share.used():
                        message = message_in(data)
                    if message is not None:
                        await self._process(message)
                        place = message.place or place
                if place and clock() - stored_at >= CURSOR_INTERVAL_SECONDS:
                    await self._change(**{**place, "seq": self.outsiders.cursor(place["seq"])})
                    stored_at, place = clock(), {}

    async def _change(self, **columns: Any) -> None:
        await self.follower.share.in_thread(
            change_stream, self.follower.database, self.host, self.follower.owner, **columns
        )

    async def _disconnected(self, error: Exception) -> None:
        problem = clean(f"{error!r}", MAX_ERROR_LENGTH)
        logger.info("firehose_disconnected", extra={"host": self.host, "error": problem})
        try:
            if isinstance(error, FirehoseError) and error.error == FUTURE_CURSOR:
                # the host was restored from a backup, and numbers its messages anew
                await self.follower.share.in_thread(self._rescan_host)
                await self._change(seq=None, heard_at=None)
            await self._change(connected_at=None, problem=problem)
        except LeaseLostError:
            pass  # what the other process says of it counts
        except Exception:  # the stream is opened again
            logger.exception("firehose_status_not_kept", extra={"host": self.host})

    async def _process(self, message: Message) -> None:
        is_ours = message.did in self.dids
        effect = await self.outsiders.hear(message, is_ours=is_ours)
        if message.kind == INFO and message.body.get("name") == OUTDATED_CURSOR:
            effect = await self.follower.share.in_thread(self._rescan_host)
        elif is_ours:
            effect = await self.follower.share.in_thread(self._mark, message)
        if effect is not None:
            self.follower.heard(effect)
        if effect not in WITHOUT_WORK:
            self.follower.marked(*([bucket_of(message.did)] if is_ours else []))

    def _rescan_host(self) -> FirehoseEffect:
        """Have all repos of the host scanned, and what outsiders said there read again: it no longer has the messages after our cursor."""
        self.follower.index.records.reverify(self.host)
        with self.follower.database.write() as connection:
            rescan(connection, self.host)
            return FirehoseEffect.OUTDATED_CURSOR

    def _mark(self, message: Message) -> FirehoseEffect:
        did, commit = message.did, message.commit
        if commit is not None:
            return self._mark_records(did, commit)
        if message.kind not in PROBED | SCANNED:
            return FirehoseEffect.KNOWN
        with self.follower.database.write() as connection:
            if message.kind in PROBED:
                now, last = self.follower.database.now(connection), self.probes.get(did)
                if last is None or last <= now:
                    self.probes[did] = now if last is None else max(now, last + PROBE_INTERVAL)
                request_probe(connection, did, self.probes[did])
            else:  # the message does not say what changed
                rescan(connection, did)
            announce(connection, did)
        return FirehoseEffect(message.kind)

    def _mark_records(self, did: str, commit: Commit) -> FirehoseEffect:
        with self.follower.database.read() as connection:
            if not (written := foreign_writes(connection, did, commit)):
                return FirehoseEffect.KNOWN
        with self.follower.database.write() as connection:
            reverify(connection, written, self.follower.database.now(connection))
            record_revision(connection, did, commit.rev)
            announce(connection, did)
        logger.warning("drift_heard", extra={"did": did, "host": self.host, "records": len(written)})
        return FirehoseEffect.FOREIGN
