"""Bytes for a record that names them, and only with proof: a blob of the account's own PDS, or what lies at an address.

Our own addresses prove nothing: whoever writes a record may name any of them. What they name is taken only where the same
account has it here already.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx

from identity.addresses import AddressPolicy, origin_of
from identity.errors import FetchRefusedError, UnsafeAddressError
from identity.fetching import fetched
from outbox.dag_cbor import Record
from replay.errors import BytesUnavailableError, PdsBusyError, PdsTroubleError
from storage.errors import BytesMissingError, MediaGoneError, TooLargeError
from storage.media import Media
from storage.upload import Staged, Staging

GET_BLOB: Final = "com.atproto.sync.getBlob"
FETCH_SECONDS: Final = 600.0
TOO_MANY, SERVER_ERROR = 429, 500
IsOwned = Callable[[str, str], bool]
"""Whether an account has named these bytes here."""


class OthersAddresses(AddressPolicy):
    """Judges addresses as that policy does, and refuses our own: also where a redirect leads to them."""

    def __init__(self, policy: AddressPolicy, ours: frozenset[tuple[str, str, int]]) -> None:
        super().__init__()
        self._policy = policy
        self._ours = ours

    def check(self, url: str) -> None:
        """Raise `UnsafeAddressError` unless it is somebody else's and may be asked."""
        if origin_of(url) in self._ours:
            raise UnsafeAddressError("the address is our own")
        self._policy.check(url)


@dataclass(frozen=True)
class Wanted:
    """What a record says of some bytes, and whose it is."""

    did: str
    host: str
    blob: Record | None
    url: str | None
    limit: int

    @property
    def cid(self) -> str | None:
        """Give the CID of the blob."""
        return self.blob["ref"]["$link"] if self.blob is not None else None


class ProvenBytes:
    """Fetches them into files. Raises BytesUnavailableError, or PdsTroubleError where another time may be better."""

    def __init__(
        self,
        http: httpx.AsyncClient,
        policy: AddressPolicy,
        media: Media,
        staging: Path,
        *,
        is_owned: IsOwned,
        own_urls: tuple[str, ...],
    ) -> None:
        self._http = http
        self._policy = policy
        self._ours = frozenset(origin_of(url) for url in own_urls)
        self._others = OthersAddresses(policy, self._ours)
        self._media = media
        self._staging = staging
        self._is_owned = is_owned

    async def fetch(self, wanted: Wanted) -> Staged:
        """Give the blob's bytes, else those at the address.

        As long as the PDS does not say that it has no such blob, other bytes do not stand for it.
        """
        if wanted.blob is None:
            return await self._at_address(wanted)
        try:
            return await self._blob(wanted)
        except (BytesUnavailableError, PdsTroubleError) as error:
            if wanted.url is None:
                raise
            return await self._instead(wanted, error)

    async def _instead(self, wanted: Wanted, error: BytesUnavailableError | PdsTroubleError) -> Staged:
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

    async def _blob(self, wanted: Wanted) -> Staged:
        assert wanted.blob is not None  # noqa: S101 - asked for those alone
        if wanted.blob["size"] > wanted.limit:
            raise BytesUnavailableError("too_large", f"the blob has more than {wanted.limit} bytes")
        address = httpx.URL(f"{wanted.host}/xrpc/{GET_BLOB}", params={"did": wanted.did, "cid": wanted.cid})
        try:
            staged = await self._staged(str(address), self._policy, wanted.limit)
        except FetchRefusedError as error:
            if error.status == TOO_MANY:
                raise PdsBusyError("the PDS has been asked for too much") from None
            if error.status is not None and error.status >= SERVER_ERROR:
                raise PdsTroubleError(f"the PDS answered {error.status}") from None
            raise BytesUnavailableError("blob_missing", f"of the blob the PDS says: {error}") from None
        except (httpx.HTTPError, TimeoutError) as error:
            raise PdsTroubleError(f"the PDS did not give the blob: {_named(error)}") from None
        if staged.cid != wanted.cid:
            staged.close()
            raise BytesUnavailableError("blob_mismatch", "the PDS gave other bytes than the blob's")
        return staged

    async def _at_address(self, wanted: Wanted) -> Staged:
        if wanted.url is None:
            raise BytesUnavailableError("nowhere", "the record names neither a blob nor an address")
        try:
            if origin_of(wanted.url) in self._ours:
                return await self._own(wanted)
            return await self._staged(wanted.url, self._others, wanted.limit)
        except UnsafeAddressError as error:
            raise BytesUnavailableError("unsafe_address", str(error)) from None
        except (FetchRefusedError, httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            raise BytesUnavailableError("not_fetched", f"the address: {_named(error)}") from None

    async def _own(self, wanted: Wanted) -> Staged:
        name = urlsplit(wanted.url or "").path.rsplit("/", 1)[-1]
        cid = name.partition(".")[0]
        if not await asyncio.to_thread(self._is_owned, wanted.did, cid):
            raise BytesUnavailableError(
                "not_owned", "the address is ours, but the bytes are not this account's"
            )
        try:
            return await asyncio.to_thread(self._copied, cid, wanted.limit)
        except (MediaGoneError, BytesMissingError):
            raise BytesUnavailableError("gone", "the address is ours, and the bytes are gone") from None

    def _copied(self, cid: str, limit: int) -> Staged:
        with Staging(self._staging, limit) as staging:
            chunks: Iterator[bytes] = self._media.read(cid)
            for chunk in chunks:
                staging.write(chunk)
            return staging.finish()

    async def _staged(self, url: str, policy: AddressPolicy, limit: int) -> Staged:
        with Staging(self._staging, limit) as staging:
            async with fetched(self._http, policy, url, limit=limit, seconds=FETCH_SECONDS) as chunks:
                await _write_all(staging, chunks)
            return (
                staging.finish()
            )  # no thread: whoever is cancelled while one ends would leave the file behind


async def _write_all(staging: Staging, chunks: AsyncIterator[bytes]) -> None:
    try:
        async for chunk in chunks:
            await asyncio.to_thread(staging.write, chunk)
    except TooLargeError as error:
        raise FetchRefusedError(str(error)) from None


def _named(error: Exception) -> str:
    return str(error) or type(error).__name__
