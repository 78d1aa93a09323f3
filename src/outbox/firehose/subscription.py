"""Listening to one host: what it says of our records is held against what we know, and only marked.

The place in the stream is kept once all before it was heeded, so that after a crash some of it is heard again, which
changes nothing.
"""

import asyncio
import logging
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection

from eventstore.commit_signals import announce
from eventstore.database import Database
from outbox.backoff import backoff
from outbox.firehose.cursors import cursor_of, forget_cursor, move_cursor
from outbox.firehose.frames import (
    ACCOUNT,
    COMMIT,
    FUTURE_CURSOR,
    IDENTITY,
    INFO,
    OUTDATED_CURSOR,
    SYNC,
    FirehoseError,
    Message,
    subscribed,
)
from outbox.firehose.own_writes import foreign_writes, note_heard
from outbox.mirror.hosts import Hosts
from outbox.mirror.lanes import LeaseLostError
from outbox.mirror.parking import request_probe
from outbox.mirror.requeue import rescan, rescan_host, reverify
from outbox.ports import Addresses
from outbox.threads import in_thread

logger = logging.getLogger("mastertape.outbox")

CURSOR_SECONDS: Final = 5.0
"""At the most so much of a stream is heard again after a crash."""
FIRST_SECONDS, LONGEST_SECONDS = 1.0, 64.0
"""The pauses before it is tried again."""


@dataclass(frozen=True)
class Hearing:
    """Whether a stream is connected, and how late its last message came."""

    alive: bool = False
    lag_seconds: float = 0.0


@dataclass(frozen=True)
class Reports:
    """Who is told that something was marked, and of each message about our accounts what it was."""

    marked: Callable[[], None] = lambda: None
    heard: Callable[[str], None] = lambda _what: None


class Listening:
    """Hears a host until it is cancelled or somebody else listens; `dids` are our accounts there."""

    def __init__(
        self,
        database: Database,
        hosts: Hosts,
        addresses: Addresses,
        host: str,
        dids: AbstractSet[str],
        *,
        owner: str,
        reports: Reports,
    ) -> None:
        self._database = database
        self._hosts = hosts
        self._addresses = addresses
        self._host = host
        self._owner = owner
        self._reports = reports
        self.dids = dids
        self.hearing = Hearing()

    async def run(self) -> None:
        """Listen, and after a while again."""
        clock = asyncio.get_running_loop().time
        failures = 0
        while True:
            begun_at = clock()
            try:
                if await in_thread(self._hosts.may_send_backfill, self._host):
                    await self._listen()
            except LeaseLostError:
                return
            except Exception as error:  # noqa: BLE001 - whatever ended it, it is begun anew
                await self._disconnected(error)
            finally:
                self.hearing = Hearing()
            failures = failures + 1 if clock() - begun_at < LONGEST_SECONDS else 0
            pause = backoff(failures, first=FIRST_SECONDS, cap=LONGEST_SECONDS)
            await asyncio.sleep(pause.total_seconds())

    async def _listen(self) -> None:
        cursor = await in_thread(cursor_of, self._database, self._host)
        async with subscribed(self._host, cursor, self._addresses) as stream:
            self.hearing = Hearing(alive=True)
            clock = asyncio.get_running_loop().time
            kept_at, last = clock(), None
            while True:
                message = await stream.next(CURSOR_SECONDS)
                if message is not None:
                    await self._hear(message)
                    last = message if message.seq is not None else last
                if last is not None and clock() - kept_at >= CURSOR_SECONDS:
                    place = (last.seq, last.said_at)
                    await in_thread(move_cursor, self._database, self._host, self._owner, *place)
                    kept_at, last = clock(), None

    async def _disconnected(self, error: Exception) -> None:
        logger.info("firehose_disconnected", extra={"host": self._host, "error": f"{error!r}"[:200]})
        if isinstance(error, FirehoseError) and error.error == FUTURE_CURSOR:
            await in_thread(self._begin_anew)

    async def _hear(self, message: Message) -> None:
        if message.said_at is not None:
            lag = (datetime.now(UTC) - message.said_at).total_seconds()
            self.hearing = Hearing(alive=True, lag_seconds=max(0.0, lag))
        if message.kind == INFO and message.name == OUTDATED_CURSOR:
            what = await in_thread(self._lost)
        elif message.did is not None and message.did in self.dids:
            what = await in_thread(self._heed, message, message.did)
        else:
            return
        self._reports.heard(what)
        if what != KNOWN:
            self._reports.marked()

    def _lost(self) -> str:
        """Have all looked through that the host has forgotten to tell of."""
        with self._database.write() as connection:
            rescan_host(connection, self._host)
            return OUTDATED_CURSOR

    def _begin_anew(self) -> None:
        """Know nothing of a stream that is another one by now: a host that was restored from a backup counts anew."""
        with self._database.write() as connection:
            forget_cursor(connection, self._host)
            rescan_host(connection, self._host)

    def _heed(self, message: Message, did: str) -> str:
        """Mark what the message casts doubt on, and say what it was."""
        if message.kind not in {COMMIT, SYNC, ACCOUNT, IDENTITY}:
            return KNOWN
        commit = message.commit if message.kind == COMMIT else None
        if commit is None:
            with self._database.write() as connection:
                self._doubt_all(connection, message.kind, did)
                announce(connection)
                return message.kind.removeprefix("#")
        with self._database.read() as connection:
            if not (tracks := foreign_writes(connection, did, commit)):
                return KNOWN
        with self._database.write() as connection:
            reverify(connection, tracks, self._database.now(connection))
            note_heard(connection, did, commit.rev)
            announce(connection)
        logger.warning("drift_heard", extra={"did": did, "host": self._host, "records": len(tracks)})
        return FOREIGN

    def _doubt_all(self, connection: Connection, kind: str, did: str) -> None:
        if kind in {ACCOUNT, IDENTITY}:
            request_probe(connection, did, self._database.now(connection))
        else:  # it does not tell what it changed
            rescan(connection, did)


KNOWN: Final = "known"
"""Our own echo, or what is known already."""
FOREIGN: Final = "foreign"
"""Somebody else's write of one of our records."""
