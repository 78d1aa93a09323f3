"""Reads what outsiders, people without an account here, say of tracks: a stream may claim anything, and that counts for nothing.

1. a message names a record, which waits in memory; the stream's cursor stays before it, for the next process to hear it again
2. read it at its PDS, which must be the stream's host, one record a second; while none waits, what was read longest ago
3. have the index say what the PDS does, unless a newer message has named the record meanwhile
"""

import asyncio
import logging
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import inf
from typing import Final, Protocol

from eventstore.coordination.backoff import backoff
from eventstore.untrusted import clean
from outbox.firehose.connection import Share
from outbox.firehose.frames import MAX_ERROR_LENGTH, FirehoseEffect, Message
from outbox.pds.client import Pds, RecordKey, Remote, RemoteUnknownError
from outbox.pds.verdict import BAD_REQUEST, OK, SERVER_ERROR, Kind
from outbox.ports import Directory, DirectoryUnavailableError
from outbox.record.kind import FORMATS

logger = logging.getLogger("mastertape.outbox")

PAUSE_SECONDS: Final = 1.0
"""After each record of a host."""
MAX_PAUSE_SECONDS: Final = 64.0
"""After failures in a row."""
POLL_SECONDS: Final = 60.0
"""For records that are to be read again."""
MAX_WAITING: Final = 300
"""Records of a host, which take five minutes. One that comes while so many wait counts when it is written again."""
MAX_WAITING_OF_ACCOUNT: Final = 20
MAX_ATTEMPTS: Final = 10
MAX_CONCURRENT_READS: Final = 8
READ_TIMEOUT_SECONDS: Final = 5.0
ABSENT: Final = Remote(None, None)


class Records(Protocol):
    """What is known of outsiders' records, each by the host that has shown it."""

    @property
    def collections(self) -> Collection[str]: ...

    def put(self, host: str, key: RecordKey, remote: Remote) -> None: ...

    def remove(self, host: str, did: str, keys: Collection[RecordKey]) -> None: ...

    def move(self, host: str, did: str, to: str | None) -> None:
        """Have another host show what this one has shown of the account, or none."""

    def reverify(self, host: str, did: str | None = None) -> None:
        """Have all of the host, or of an account there, read again."""

    def next_to_read(self, host: str) -> RecordKey | None: ...


@dataclass
class Index:
    """What the streams of a process share to read outsiders' records."""

    records: Records
    pds: Pds
    directory: Directory
    turns: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_CONCURRENT_READS))


@dataclass(eq=False)
class Claim:
    """That a record was written, by a message with this number."""

    key: RecordKey
    seq: float
    """None of what is read again comes before this, so that the cursor does not wait for it."""
    attempts: int = 0


class Outsiders:
    """What one host's stream claims, which one process follows at a time."""

    def __init__(self, host: str, index: Index, share: Share) -> None:
        self._host: Final = host
        self._index: Final = index
        self._share: Final = share
        self._claims: Final = dict[RecordKey, Claim]()
        """The newest of each record, in the order in which they are read."""
        self._some: Final = asyncio.Event()
        self._writing: Final = asyncio.Lock()

    def cursor(self, seq: int) -> int:
        """Return the place in the stream to begin anew at: `seq`, or before what waits."""
        return int(min([seq, *(claim.seq - 1 for claim in self._claims.values())]))

    async def hear(self, message: Message, *, is_ours: bool) -> FirehoseEffect | None:
        """Have what a message names read, and forget records that it says are gone; return what it led to, if it is about an outsider's record."""
        if message.kind == FirehoseEffect.ACCOUNT and message.body.get("active") is False:
            # all of the account, what is being read too, is read again: it is gone, or at another host
            async with self._writing:
                for key in [key for key in self._claims if key.did == message.did]:
                    self._claims[key] = replace(self._claims[key])
                await self._share.in_thread(self._index.records.reverify, self._host, message.did)
            self._some.set()
        with self._share.used():
            commit, seq = message.commit, message.body.get("seq")
            if commit is None or not isinstance(seq, int):
                return None
            named = [(RecordKey(message.did, *place), cid) for place, cid in commit.writes.items()]
            about = [(key, cid) for key, cid in named if key.collection in self._index.records.collections]
            # a row of an account that came here since would keep an older text
            gone = [key for key, cid in about if cid is None or is_ours]
        if gone:
            async with self._writing:
                for key in gone:
                    self._claims.pop(key, None)
                await self._share.in_thread(self._index.records.remove, self._host, message.did, gone)
        if len(gone) == len(about):
            return None
        with self._share.used():
            waits = [self._wait(Claim(key, seq)) for key, cid in about if cid is not None]
        return FirehoseEffect.OUTSIDER if all(waits) else FirehoseEffect.DROPPED

    def _wait(self, claim: Claim) -> bool:
        if not FORMATS["at-uri"](claim.key.uri):
            return False
        if self._claims.pop(claim.key, None) is None:
            waiting = [key.did for key in self._claims]
            if len(waiting) == MAX_WAITING or waiting.count(claim.key.did) == MAX_WAITING_OF_ACCOUNT:
                return False
        self._claims[claim.key] = claim
        self._some.set()
        return True

    def _is_newest(self, claim: Claim) -> bool:
        return self._claims.get(claim.key) is claim

    async def read(self) -> None:
        """Read what is claimed, until this is cancelled."""
        failures = 0
        while True:
            while not self._claims:
                await self._find()
            claim = next(iter(self._claims.values()))
            try:
                await self._read(claim)
                failures = 0
            except Exception as error:  # noqa: BLE001 - it is read again after any error
                failures = failures + 1 if _concerns_host(error, claim.key.did) else 0
                self._failed(claim, error)
            pause = backoff(failures, first=PAUSE_SECONDS, cap=MAX_PAUSE_SECONDS)
            await asyncio.sleep(max(PAUSE_SECONDS, pause.total_seconds()))

    async def _find(self) -> None:
        """Wait for a claim, or make one of a record that is to be read again."""
        self._some.clear()
        try:
            key = await self._share.in_thread(self._index.records.next_to_read, self._host)
        except Exception:  # the database may be back next time
            logger.exception("firehose_look_failed")
            key = None
        if key is not None:
            self._claims.setdefault(key, Claim(key, inf))
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(self._some.wait(), POLL_SECONDS)

    async def _read(self, claim: Claim) -> None:
        key, index = claim.key, self._index
        async with index.turns:
            host = await index.directory.host_of(key.did)
            remote = None
            if host == self._host:  # which shows its own accounts alone: no stream has another host asked
                try:
                    remote = await index.pds.get(host, key, timeout=READ_TIMEOUT_SECONDS)
                except RemoteUnknownError as error:
                    # one that its PDS refuses to show, or that is too large, is as good as absent
                    if error.verdict.concerns_host or error.verdict.status not in {OK, BAD_REQUEST}:
                        raise
                    remote = ABSENT
        async with self._writing:
            if self._is_newest(claim):
                if remote is None:
                    await self._share.in_thread(index.records.move, self._host, key.did, host)
                else:
                    await self._share.in_thread(index.records.put, self._host, key, remote)
            if self._is_newest(claim):
                del self._claims[key]

    def _failed(self, claim: Claim, error: Exception) -> None:
        problem = {"host": self._host, "error": clean(f"{error!r}", MAX_ERROR_LENGTH)}
        logger.info("outsider_not_read", extra={"uri": claim.key.uri, **problem})
        if self._is_newest(claim):  # the others go first
            del self._claims[claim.key]
            claim.attempts += 1
            if claim.attempts < MAX_ATTEMPTS:
                self._claims[claim.key] = claim


def _concerns_host(error: Exception, did: str) -> bool:
    """Whether other records of the host would fare no better now."""
    if isinstance(error, DirectoryUnavailableError):
        return did.startswith("did:plc:")  # one directory for all; another DID names its own server
    if not isinstance(error, RemoteUnknownError):
        return True
    verdict = error.verdict
    return verdict.kind is Kind.PACED or verdict.status is None or verdict.status >= SERVER_ERROR
