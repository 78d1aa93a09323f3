"""Makes renditions of covers: of those that are stored, and of images at addresses that adopted records name."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

import httpx

from eventstore.coordination.threads import Threads
from identity.errors import FetchRefusedError, UnsafeAddressError
from identity.resolution.address_policy import AddressPolicy
from replay.adoption.fetcher import Fetcher, named
from replay.derived.in_time import in_time
from storage.artwork import MAX_BYTES, read_artwork, read_renditions
from storage.derived.renditions import keep_renditions
from storage.errors import RefusedMediaError
from storage.media import Media
from storage.upload import Staged

COVER_TIMEOUT_SECONDS: Final = 60.0
"""For an image elsewhere, whatever its host does."""
FINAL_STATUSES: Final = frozenset({400, 401, 403, 404, 405, 406, 410, 414, 451})
"""What another attempt does not change."""


class CannotBeMadeError(Exception):
    """Another attempt cannot help: the source is not what it has to be."""


class NotMadeError(Exception):
    """Another attempt may help."""


class Covers:
    """Reads and fetches covers, and keeps their renditions; `others` allows the addresses that accounts may name."""

    def __init__(self, storage: Media, fetcher: Fetcher, others: AddressPolicy, threads: Threads) -> None:
        self._storage: Final = storage
        self._fetcher: Final = fetcher
        self._others: Final = others
        self._threads: Final = threads

    async def make_renditions(self, cid: str) -> None:
        """Make those of a stored cover; raises CannotBeMadeError, or StorageError where another attempt may help."""
        renditions = await self._decoded(lambda: self._read(cid))
        await self._keep(cid, renditions)

    async def fetch(self, url: str) -> None:
        """Fetch an image, and make its renditions; raises CannotBeMadeError, NotMadeError or StorageError."""
        with await self._fetched(url) as staged:
            renditions = await self._decoded(lambda: read_artwork(staged).renditions)
        await self._keep(url, renditions)

    async def _fetched(self, url: str) -> Staged:
        try:
            async with asyncio.timeout(COVER_TIMEOUT_SECONDS):
                return await self._fetcher.staged(url, MAX_BYTES, self._others)
        except (UnsafeAddressError, httpx.InvalidURL) as error:
            raise CannotBeMadeError(named(error)) from None
        except FetchRefusedError as error:
            if error.status is None or error.status in FINAL_STATUSES:
                raise CannotBeMadeError(named(error)) from None
            raise NotMadeError(named(error)) from None
        except (httpx.HTTPError, TimeoutError) as error:
            raise NotMadeError(named(error)) from None

    def _read(self, cid: str) -> Mapping[int, bytes]:
        return read_renditions(b"".join(self._storage.read(cid)))

    async def _decoded(self, work: Callable[[], Mapping[int, bytes]]) -> Mapping[int, bytes]:
        try:
            return await in_time(self._threads, MAX_BYTES, work)
        except RefusedMediaError as error:
            raise CannotBeMadeError(str(error)) from None

    async def _keep(self, source: str, renditions: Mapping[int, bytes]) -> None:
        size = sum(map(len, renditions.values()))
        await in_time(self._threads, size, keep_renditions, self._storage, source, renditions)
