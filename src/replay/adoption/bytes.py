"""Fetches the bytes that a record names, as a blob of the account's own PDS or at an address.

One of our own addresses proves nothing, since any record may name it: its bytes are taken only where the account already has them here.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from eventstore.coordination.threads import Threads
from identity.errors import FetchRefusedError, UnsafeAddressError
from identity.resolution.address_policy import AddressPolicy, origin_of
from outbox.mirror.hosts import Hosts
from outbox.record.dag_cbor import Record
from replay.adoption.fetcher import Fetcher, named
from replay.errors import BytesUnavailableError, PdsTroubleError
from storage.errors import BytesMissingError, MediaGoneError
from storage.media import Media
from storage.upload import Staged, Staging

IsOwned = Callable[[str, str], bool]
"""Whether a track of the account (a DID) has named these bytes (a CID)."""


class OthersAddresses(AddressPolicy):
    """Allows the addresses that `policy` allows, except our own, of redirects too."""

    def __init__(self, policy: AddressPolicy, ours: frozenset[tuple[str, str, int]]) -> None:
        super().__init__()
        self._policy = policy
        self._ours = ours

    def check(self, url: str) -> None:
        """Raise UnsafeAddressError for an address of our own, or one that the policy refuses."""
        if origin_of(url) in self._ours:
            raise UnsafeAddressError("the URL is our own")
        self._policy.check(url)


@dataclass(frozen=True)
class Wanted:
    """What a record says of some bytes, and the account and PDS of the record; `limit` in bytes."""

    did: str
    host: str
    blob: Record | None
    url: str | None
    limit: int

    @property
    def cid(self) -> str | None:
        """Return the CID of the blob."""
        return self.blob["ref"]["$link"] if self.blob is not None else None


class ProvenBytes:
    """Fetches bytes into files; raises BytesUnavailableError, or PdsTroubleError where another attempt may succeed."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        policy: AddressPolicy,
        media: Media,
        staging: Path,
        hosts: Hosts,
        *,
        threads: Threads,
        is_owned: IsOwned,
        own_urls: tuple[str, ...],
    ) -> None:
        self._fetcher = Fetcher(http, policy, staging, hosts, threads)
        self._ours = frozenset(origin_of(url) for url in own_urls)
        self._others = OthersAddresses(policy, self._ours)
        self._media = media
        self._staging = staging
        self._threads = threads
        self._is_owned = is_owned

    async def fetch(self, wanted: Wanted) -> Staged:
        """Return the blob's bytes, or those at the URL.

        While the PDS only fails to answer, bytes at the URL count only if they have the blob's CID.
        """
        if wanted.blob is None:
            return await self._at_address(wanted)
        try:
            return await self._from_pds(wanted, wanted.blob)
        except (BytesUnavailableError, PdsTroubleError) as error:
            if wanted.url is None:
                raise
            return await self._at_address_instead(wanted, error)

    async def _at_address_instead(
        self, wanted: Wanted, error: BytesUnavailableError | PdsTroubleError
    ) -> Staged:
        try:
            staged = await self._at_address(wanted)
        except BytesUnavailableError as too:
            if isinstance(error, PdsTroubleError):
                raise error from None
            raise BytesUnavailableError(too.code, f"{error}; {too}") from None
        if isinstance(error, PdsTroubleError) and staged.cid != wanted.cid:
            staged.close()
            raise error
        return staged

    async def _from_pds(self, wanted: Wanted, blob: Record) -> Staged:
        if blob["size"] > wanted.limit:
            raise BytesUnavailableError("too_large", f"the blob has more than {wanted.limit} bytes")
        return await self._fetcher.blob(wanted.host, wanted.did, blob["ref"]["$link"], wanted.limit)

    async def _at_address(self, wanted: Wanted) -> Staged:
        if wanted.url is None:
            raise BytesUnavailableError("nowhere", "the record names neither a blob nor an audio URL")
        try:
            if origin_of(wanted.url) in self._ours:
                return await self._own(wanted)
            return await self._fetcher.staged(wanted.url, wanted.limit, self._others)
        except UnsafeAddressError as error:
            raise BytesUnavailableError("unsafe_address", str(error)) from None
        except (FetchRefusedError, httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise BytesUnavailableError(
                "not_fetched", f"fetching the audio URL failed: {named(error)}"
            ) from None

    async def _own(self, wanted: Wanted) -> Staged:
        name = urlsplit(wanted.url or "").path.rsplit("/", 1)[-1]
        cid = name.partition(".")[0]
        if not await self._threads.run(self._is_owned, wanted.did, cid):
            raise BytesUnavailableError(
                "not_owned", "the address is ours, but the bytes are not this account's"
            )
        try:
            return await self._threads.run(self._copied_from_media, cid, wanted.limit)
        except (MediaGoneError, BytesMissingError):
            raise BytesUnavailableError("gone", "the audio URL is ours, and the bytes are gone") from None

    def _copied_from_media(self, cid: str, limit: int) -> Staged:
        with Staging(self._staging, limit) as staging:
            chunks: Iterator[bytes] = self._media.read(cid)
            for chunk in chunks:
                staging.write(chunk)
            return staging.finish()
