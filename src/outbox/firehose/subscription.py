"""The subscription to one host: other clients' writes of our records are marked to be verified, and nothing else.

The cursor is stored after the messages before it are processed: after a crash some are processed again, which changes
nothing.
"""

import asyncio
import logging
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Connection

from eventstore.coordination.commit_signals import announce
from eventstore.database import Database
from eventstore.foreign_text import clean
from eventstore.states import State
from outbox.backoff import backoff
from outbox.firehose.cursors import (
    cursor_of,
    record_connected,
    record_disconnected,
    reset_cursor,
    store_cursor,
)
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
from outbox.firehose.own_writes import foreign_writes, record_revision
from outbox.mirror.hosts import Hosts
from outbox.mirror.lanes import LeaseLostError
from outbox.mirror.parking import request_probe
from outbox.mirror.requeue import rescan, rescan_host, reverify
from outbox.ports import Addresses
from outbox.threads import in_thread

logger = logging.getLogger("mastertape.outbox")

CURSOR_INTERVAL_SECONDS: Final = 5.0
"""The time between two stores of the cursor: after a crash so much of a stream is processed again."""
FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 1.0, 64.0
"""Before a new connection."""
MAX_ERROR_LENGTH: Final = 200


class FirehoseEffect(State):
    """What a message about our accounts led to."""

    KNOWN = "known", "our own write, or nothing newer than what is known"
    FOREIGN = "foreign", "another client wrote our records: they are verified"
    COMMIT = "commit", "a commit without its changes: the repo is scanned"
    SYNC = "sync", "the repo was replaced: it is scanned"
    ACCOUNT = "account", "the account's status changed: it is probed"
    IDENTITY = "identity", "the account's identity changed: it is probed"
    OUTDATED_CURSOR = "OutdatedCursor", "the host has dropped messages: all its repos are scanned"


EFFECTS: Final = {
    COMMIT: FirehoseEffect.COMMIT,
    SYNC: FirehoseEffect.SYNC,
    ACCOUNT: FirehoseEffect.ACCOUNT,
    IDENTITY: FirehoseEffect.IDENTITY,
}
"""By the kind of message, unless a #commit says what it changed."""


@dataclass(frozen=True)
class StreamStatus:
    """Whether a stream is connected, and the delay of its last message."""

    alive: bool = False
    lag_seconds: float = 0.0


@dataclass(frozen=True)
class StreamReports:
    """Callbacks: `marked` when there is work for the relay, `heard` with the effect of each message about our accounts."""

    marked: Callable[[], None] = lambda: None
    heard: Callable[[FirehoseEffect], None] = lambda _effect: None


class Subscription:
    """Runs until it is cancelled or another process holds the stream; `dids` are our accounts on the host."""

    def __init__(
        self,
        database: Database,
        hosts: Hosts,
        addresses: Addresses,
        host: str,
        dids: AbstractSet[str],
        *,
        owner: str,
        reports: StreamReports,
    ) -> None:
        self._database = database
        self._hosts = hosts
        self._addresses = addresses
        self._host = host
        self._owner = owner
        self._reports = reports
        self.dids = dids
        self.status = StreamStatus()

    async def run(self) -> None:
        """Subscribe, and after a pause again whenever the stream ends."""
        clock = asyncio.get_running_loop().time
        failures = 0
        while True:
            begun_at = clock()
            try:
                if await in_thread(self._hosts.may_send_backfill, self._host):
                    await self._listen()
            except LeaseLostError:
                return
            except Exception as error:  # noqa: BLE001 - the stream is opened again after any error
                await self._disconnected(error)
            finally:
                self.status = StreamStatus()
            failures = failures + 1 if clock() - begun_at < MAX_PAUSE_SECONDS else 0
            pause = backoff(failures, first=FIRST_PAUSE_SECONDS, cap=MAX_PAUSE_SECONDS)
            await asyncio.sleep(pause.total_seconds())

    async def _listen(self) -> None:
        cursor = await in_thread(cursor_of, self._database, self._host)
        async with subscribed(self._host, cursor, self._addresses) as stream:
            self.status = StreamStatus(alive=True)
            await in_thread(record_connected, self._database, self._host, self._owner)
            clock = asyncio.get_running_loop().time
            stored_at, last = clock(), None
            while True:
                message = await stream.next(CURSOR_INTERVAL_SECONDS)
                if message is not None:
                    await self._process(message)
                    last = message if message.seq is not None else last
                if last is not None and clock() - stored_at >= CURSOR_INTERVAL_SECONDS:
                    await in_thread(self._store_cursor, last)
                    stored_at, last = clock(), None

    def _store_cursor(self, last: Message) -> None:
        store_cursor(
            self._database,
            self._host,
            self._owner,
            seq=last.seq,
            heard_at=last.sent_at,
            lag_seconds=self.status.lag_seconds,
        )

    async def _disconnected(self, error: Exception) -> None:
        problem = clean(f"{error!r}", MAX_ERROR_LENGTH)
        logger.info("firehose_disconnected", extra={"host": self._host, "error": problem})
        if isinstance(error, FirehoseError) and error.error == FUTURE_CURSOR:
            await in_thread(self._reset)
        try:
            await in_thread(record_disconnected, self._database, self._host, self._owner, problem)
        except Exception:  # what operators see of the stream must not end it
            logger.exception("firehose_status_not_kept", extra={"host": self._host})

    async def _process(self, message: Message) -> None:
        if message.sent_at is not None:
            lag = (datetime.now(UTC) - message.sent_at).total_seconds()
            self.status = StreamStatus(alive=True, lag_seconds=max(0.0, lag))
        if message.kind == INFO and message.name == OUTDATED_CURSOR:
            effect = await in_thread(self._rescan_host)
        elif message.did is not None and message.did in self.dids:
            effect = await in_thread(self._mark, message, message.did)
        else:
            return
        self._reports.heard(effect)
        if effect is not FirehoseEffect.KNOWN:
            self._reports.marked()

    def _rescan_host(self) -> FirehoseEffect:
        """Have all repos of the host scanned: it no longer has the messages after our cursor."""
        with self._database.write() as connection:
            rescan_host(connection, self._host)
            return FirehoseEffect.OUTDATED_CURSOR

    def _reset(self) -> None:
        """Start over: a host that was restored from a backup numbers its messages anew."""
        with self._database.write() as connection:
            reset_cursor(connection, self._host)
            rescan_host(connection, self._host)

    def _mark(self, message: Message, did: str) -> FirehoseEffect:
        """Mark what has to be verified, scanned or probed because of the message."""
        if message.kind not in EFFECTS:
            return FirehoseEffect.KNOWN
        commit = message.commit if message.kind == COMMIT else None
        if commit is None:
            with self._database.write() as connection:
                self._mark_account(connection, message.kind, did)
                announce(connection)
                return EFFECTS[message.kind]
        with self._database.read() as connection:
            if not (tracks := foreign_writes(connection, did, commit)):
                return FirehoseEffect.KNOWN
        with self._database.write() as connection:
            reverify(connection, tracks, self._database.now(connection))
            record_revision(connection, did, commit.rev)
            announce(connection)
        logger.warning("drift_heard", extra={"did": did, "host": self._host, "records": len(tracks)})
        return FirehoseEffect.FOREIGN

    def _mark_account(self, connection: Connection, kind: str, did: str) -> None:
        if kind in {ACCOUNT, IDENTITY}:
            request_probe(connection, did, self._database.now(connection))
        else:  # the message does not say what changed
            rescan(connection, did)
