"""Reads of a repo without a login: its revision, records and blobs, page by page."""

import asyncio
from collections.abc import AsyncGenerator, Collection
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from eventstore.coordination.threads import Turns
from eventstore.untrusted import clean
from outbox.mirror.hosts import PacedPds
from outbox.pds.client import (
    GET_LATEST_COMMIT,
    LIST_BLOBS,
    LIST_RECORDS,
    Pds,
    RecordKey,
    Remote,
    RemoteUnknownError,
)
from outbox.pds.verdict import MAX_MESSAGE_LENGTH, OK, REPLY_TOO_LARGE, UNREADABLE, Kind, Phase, Verdict
from outbox.repo.pages import RECORDS_PER_PAGE, Entry, entry_in, split

LARGE_RECORDS_PER_PAGE: Final = 4
"""So many of the largest records that a PDS takes fit into a page; asked for after a page that was too large."""
BLOBS_PER_PAGE: Final = 1000
PAGE_TIMEOUT_SECONDS: Final = 30.0
MAX_LIST_BYTES: Final = 128 * 2**20
"""Of all pages of one list together: some 100,000 records."""
MAX_LIST_SECONDS: Final = 60.0
"""For the pages of one list together: a PDS that sends each page just in time would otherwise be read without end."""
TOO_SLOW: Final = "too_slow"
MIN_PAGE_BYTES: Final = 64 * 1024
"""What a page counts at least: pages without records would never end."""
MIN_RECORD_BYTES: Final = 1024
"""What a record counts at least, for the memory that its key and CID take."""
MAX_KEPT_BYTES: Final = 16 * 2**20
"""Of the JSON of one repo's records: some 10,000. Of more, the CID and the generation are kept."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a comparison needs of a record. The generation and the JSON are of records that are not known, and name one."""

    cid: str | None
    generation: int | None = None
    json: bytes | None = None
    is_read: bool = True
    """Whether the PDS has shown it, within our limits: nothing else tells whose it is."""


Records = dict[str, Found]
"""By record key."""


class RepoReads:
    """Each read raises RemoteUnknownError when the PDS does not answer, or its answer is invalid."""

    def __init__(self, pds: Pds, *, list_seconds: float = MAX_LIST_SECONDS) -> None:
        self._pds = pds
        self._list_seconds = list_seconds

    async def revision(self, host: str, did: str) -> str:
        """Return the revision of the repo's newest commit; it rises with every change of any collection."""
        match await self._read(host, GET_LATEST_COMMIT, did=did):
            case Verdict(body={"rev": str(rev)}):
                return clean(rev, MAX_MESSAGE_LENGTH)
        raise _unreadable("no rev")

    async def found(
        self,
        host: str,
        did: str,
        collections: Collection[str],
        known: AbstractSet[tuple[RecordKey, str | None]],
    ) -> dict[str, Records]:
        """Return what is comparable of the records of these collections, by their keys; `known` are those that the log knows, with their CIDs."""
        left_bytes = MAX_KEPT_BYTES
        found: dict[str, Records] = {name: {} for name in collections}
        for name, records in found.items():
            async for entry in self.records(host, did, name):
                if entry.rkey is None:
                    raise _unreadable("an entry names no record")
                is_known = (RecordKey(did, name, entry.rkey), entry.cid) in known
                of = _found(entry, is_known=is_known)
                if of.json is not None and len(of.json) > left_bytes:
                    of = Found(of.cid, of.generation)
                left_bytes -= len(of.json or b"")
                records[entry.rkey] = of
        return found

    async def records(
        self, host: str, did: str, collection: str, *, after: str = ""
    ) -> AsyncGenerator[Entry]:
        """Yield the entries of a collection in the order of their keys, from those `after` this one; those without a key where the PDS lists them."""
        last = after
        limit = RECORDS_PER_PAGE
        params = {"repo": did, "collection": collection, "reverse": "true"}
        if after:
            params["cursor"] = after
        budget = _ListBudget(self._list_seconds)
        while True:
            async with budget.page():
                page = {**params, "limit": str(limit)}
                verdict = await self._pds.read(host, LIST_RECORDS, PAGE_TIMEOUT_SECONDS, page)
            budget.take(max(verdict.size, MIN_PAGE_BYTES))
            if verdict.error == REPLY_TOO_LARGE and limit > LARGE_RECORDS_PER_PAGE:
                limit = LARGE_RECORDS_PER_PAGE
                continue
            try:
                raws, cursor = split(_done(verdict).body)
            except ValueError as error:
                raise _unreadable(f"no page of records: {error}") from None
            budget.take(max(0, MIN_RECORD_BYTES * len(raws) - verdict.size))
            for raw in raws:
                entry = entry_in(raw)
                if entry.rkey is not None:
                    if entry.rkey <= last:
                        raise _unreadable(f"record keys are not in ascending order at {entry.rkey}")
                    last = entry.rkey
                yield entry
                await asyncio.sleep(0)  # a page of large records takes longer than other work may wait
            if not cursor:
                return
            params["cursor"], limit = cursor, min(2 * limit, RECORDS_PER_PAGE)

    async def blobs(self, host: str, did: str, wanted: AbstractSet[str]) -> set[str]:
        """Return which of these blobs the PDS lists, as it does those that it holds and that a record names."""
        found: set[str] = set()
        budget = _ListBudget(self._list_seconds)
        params = {"did": did, "limit": str(BLOBS_PER_PAGE)}
        while found != wanted:
            async with budget.page():
                verdict = await self._read(host, LIST_BLOBS, **params)
            budget.take(max(verdict.size, MIN_PAGE_BYTES))
            listed = verdict.body.get("cids")
            if not isinstance(listed, list) or len(listed) > BLOBS_PER_PAGE:
                raise _unreadable("no page of CIDs")
            found.update(cid for cid in listed if isinstance(cid, str) and cid in wanted)
            match verdict.body.get("cursor"):
                case str(after) if after and listed and after != params.get("cursor"):
                    params["cursor"] = after
                case _:
                    break
        return found

    async def _read(self, host: str, nsid: str, **params: str) -> Verdict:
        return _done(await self._pds.read(host, nsid, PAGE_TIMEOUT_SECONDS, params))


def _found(entry: Entry, *, is_known: bool) -> Found:
    if entry.cid is None or entry.json is None:
        return Found(entry.cid, is_read=False)
    generation = None if is_known else entry.generation
    return Found(entry.cid, generation, entry.json if generation is not None else None)


def _done(verdict: Verdict) -> Verdict:
    if verdict.kind is not Kind.DONE:
        raise RemoteUnknownError(verdict)
    return verdict


class _ListBudget:
    """The bytes and the time of one list: a malicious PDS could send pages without end."""

    def __init__(self, seconds: float) -> None:
        self._seconds = self._seconds_left = seconds
        self._bytes_left = MAX_LIST_BYTES

    @asynccontextmanager
    async def page(self) -> AsyncGenerator[None]:
        """Wait for a page; the time that its reader takes afterwards does not count."""
        now = asyncio.get_running_loop().time
        began = now()
        try:
            async with asyncio.timeout(self._seconds_left):
                yield
        except TimeoutError:
            message = f"the PDS took more than {self._seconds:.0f} seconds for one list"
            verdict = Verdict(Kind.AMBIGUOUS, TOO_SLOW, message=message, phase=Phase.READ)
            raise RemoteUnknownError(verdict) from None
        self._seconds_left -= now() - began

    def take(self, size: int) -> None:
        self._bytes_left -= size
        if self._bytes_left < 0:
            message = f"more than {MAX_LIST_BYTES} bytes"
            raise RemoteUnknownError(Verdict(Kind.AMBIGUOUS, REPLY_TOO_LARGE, OK, message, phase=Phase.READ))


def _unreadable(message: str) -> RemoteUnknownError:
    return RemoteUnknownError(Verdict(Kind.AMBIGUOUS, UNREADABLE, message=clean(message, MAX_MESSAGE_LENGTH)))


FRESH_SECONDS: Final = 5.0
READ_TIMEOUT_SECONDS: Final = 5.0
"""With the wait for a turn: a page waits for it."""
MAX_CONCURRENT_READS: Final = 8
MAX_CONCURRENT_READS_OF_A_HOST: Final = 2
MAX_KEPT_RECORDS: Final = 64
"""Of up to 2 MB each; more are read anew each time."""
NO_HOST: Final = "no_host: the account has no PDS that we know"
TIMED_OUT: Final = f"timeout: the PDS did not answer within {READ_TIMEOUT_SECONDS:g} seconds"


@dataclass(frozen=True)
class PresentRecord:
    """The PDS's answer at this time; without one, `problem` says why."""

    at: datetime
    remote: Remote | None = None
    problem: str | None = None


class RecordReads:
    """Shares each answer between those who ask within FRESH_SECONDS."""

    def __init__(self, pds: PacedPds) -> None:
        self._pds: Final = pds
        self._reads: Final[dict[object, asyncio.Task[PresentRecord]]] = {}
        self._turns: Final = Turns(MAX_CONCURRENT_READS_OF_A_HOST, MAX_CONCURRENT_READS)

    async def read(self, host: str, key: RecordKey, known_cid: str | None) -> PresentRecord:
        """Return what the PDS has; an answer from before `known_cid` was known is not used again."""
        if not host:
            return PresentRecord(datetime.now(UTC), problem=NO_HOST)
        wanted = (host, key, known_cid)
        if (reading := self._reads.get(wanted)) is None:

            def forget_later(_: object) -> None:
                seconds = FRESH_SECONDS if len(self._reads) <= MAX_KEPT_RECORDS else 0
                asyncio.get_running_loop().call_later(seconds, self._reads.pop, wanted, None)

            reading = self._reads[wanted] = asyncio.create_task(self._read(host, key))
            reading.add_done_callback(forget_later)
        return await asyncio.shield(reading)

    async def _read(self, host: str, key: RecordKey) -> PresentRecord:
        try:
            async with asyncio.timeout(READ_TIMEOUT_SECONDS), self._turns.of(host):
                remote = await self._pds.get(host, key)
        except RemoteUnknownError as error:
            return PresentRecord(datetime.now(UTC), problem=str(error))
        except TimeoutError:
            return PresentRecord(datetime.now(UTC), problem=TIMED_OUT)
        return PresentRecord(datetime.now(UTC), remote)
