"""Reads of a repo without a login: its revision, records and blobs, page by page."""

import asyncio
from collections.abc import AsyncIterator, Collection
from typing import Any, Final

from eventstore.foreign_text import clean
from outbox.mirror.host_state import HostReport
from outbox.mirror.hosts import Hosts
from outbox.mirror.paced_pds import LEFT_ALONE
from outbox.pds.client import Pds, Remote, RemoteUnknownError
from outbox.pds.verdict import MAX_MESSAGE_LENGTH, UNREADABLE, Kind, Phase, Verdict
from outbox.record.dag_cbor import is_record_cid
from outbox.threads import in_thread

LATEST_COMMIT: Final = "com.atproto.sync.getLatestCommit"
LIST_RECORDS: Final = "com.atproto.repo.listRecords"
LIST_BLOBS: Final = "com.atproto.sync.listBlobs"
RECORDS_PER_PAGE: Final = 100
BLOBS_PER_PAGE: Final = 1000
PAGE_TIMEOUT_SECONDS: Final = 30.0
MAX_LIST_BYTES: Final = 128 * 2**20
"""Of all pages of one list together: some 100,000 records."""
MAX_LIST_SECONDS: Final = 60.0
"""Of all pages of one list together: a PDS that sends each page just in time would otherwise be read without end."""
TOO_SLOW: Final = Verdict(
    Kind.AMBIGUOUS,
    "too_slow",
    message=f"the PDS took more than {MAX_LIST_SECONDS:.0f} seconds for one list",
    phase=Phase.READ,
)

Records = dict[str, Remote]
"""By record key."""


class RepoReads:
    """Each read raises RemoteUnknownError when the PDS does not answer, or its answer is invalid."""

    def __init__(self, pds: Pds) -> None:
        self._pds = pds

    async def revision(self, host: str, did: str) -> str:
        """Return the revision of the repo's newest commit; it rises with every change of any collection."""
        match await self._read(host, LATEST_COMMIT, did=did):
            case Verdict(body={"rev": str(rev)}):
                return clean(rev, MAX_MESSAGE_LENGTH)
        raise _unreadable("no rev")

    async def found(self, host: str, did: str, collections: Collection[str]) -> dict[str, Records]:
        """Return the records of these collections by their keys."""
        return {
            name: {rkey: remote async for rkey, remote in self.records(host, did, name)}
            for name in collections
        }

    async def records(self, host: str, did: str, collection: str) -> AsyncIterator[tuple[str, Remote]]:
        """Yield the records of a collection with their keys, in the order of the keys."""
        last = ""
        wanted = {"repo": did, "collection": collection, "limit": str(RECORDS_PER_PAGE), "reverse": "true"}
        async for page in self._pages(host, LIST_RECORDS, **wanted):
            for entry in _list_in(page, "records"):
                rkey, remote = _record(entry)
                if rkey <= last:
                    raise _unreadable(f"record keys are not in ascending order at {rkey}")
                last = rkey
                yield rkey, remote

    async def blobs(self, host: str, did: str) -> set[str]:
        """Return the CIDs of the blobs that the repo's records name and that the PDS holds."""
        found: set[str] = set()
        async for page in self._pages(host, LIST_BLOBS, did=did, limit=str(BLOBS_PER_PAGE)):
            cids = {cid for cid in _list_in(page, "cids") if isinstance(cid, str)}
            if cids <= found:
                break
            found |= cids
        return found

    async def _pages(self, host: str, nsid: str, **params: str) -> AsyncIterator[Any]:
        """Yield the pages, MAX_LIST_BYTES and MAX_LIST_SECONDS at most: a malicious PDS could send pages without end."""
        size, seconds_left = 0, MAX_LIST_SECONDS
        cursor: dict[str, str] = {}
        now = asyncio.get_running_loop().time
        while True:
            began = now()
            try:
                async with asyncio.timeout(seconds_left):
                    verdict = await self._read(host, nsid, **params, **cursor)
            except TimeoutError as error:
                raise RemoteUnknownError(TOO_SLOW) from error
            seconds_left -= now() - began  # not the time that the reader of a page takes
            size += verdict.size
            if size > MAX_LIST_BYTES:
                raise _unreadable(f"more than {MAX_LIST_BYTES} bytes")
            yield verdict.body
            match verdict.body.get("cursor"):
                case str(after) if after:
                    cursor = {"cursor": after}
                case _:
                    return

    async def _read(self, host: str, nsid: str, **params: str) -> Verdict:
        verdict = await self._ask(host, nsid, params)
        if verdict.kind is not Kind.DONE:
            raise RemoteUnknownError(verdict)
        return verdict

    async def _ask(self, host: str, nsid: str, params: dict[str, str]) -> Verdict:
        return await self._pds.read(host, nsid, PAGE_TIMEOUT_SECONDS, params)


class PacedReads(RepoReads):
    """Reads behind live work: LEFT_ALONE while the host is paused, open or low on budget.

    The answers count for the host's breaker and budgets as those to the relay do.
    """

    def __init__(self, pds: Pds, hosts: Hosts) -> None:
        super().__init__(pds)
        self._hosts = hosts

    async def _ask(self, host: str, nsid: str, params: dict[str, str]) -> Verdict:
        if not await in_thread(self._hosts.may_send_backfill, host):
            return LEFT_ALONE
        verdict = await super()._ask(host, nsid, params)
        report = HostReport.of(host, params.get("did", params.get("repo", "")), verdict)
        await in_thread(self._hosts.record_if_changed, report)
        return verdict


def _record(entry: Any) -> tuple[str, Remote]:
    match entry:
        case {"uri": str(uri), "cid": str(cid), "value": dict(value)} if "/" in uri and is_record_cid(cid):
            return uri.rsplit("/", 1)[1], Remote(cid, value)
    raise _unreadable("an entry is no record")


def _list_in(page: Any, name: str) -> list[Any]:
    values = page.get(name)
    if not isinstance(values, list):
        raise _unreadable(f"no {name}")
    return values


def _unreadable(message: str) -> RemoteUnknownError:
    return RemoteUnknownError(Verdict(Kind.AMBIGUOUS, UNREADABLE, message=clean(message, MAX_MESSAGE_LENGTH)))
