"""The interface of byte stores, and the choice of one from the settings."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, ParamSpec, Protocol, TypeVar, cast

from eventstore.coordination.threads import Threads
from storage.errors import StoreUnavailableError

if TYPE_CHECKING:
    from storage.stores.s3 import S3Store

P = ParamSpec("P")
T = TypeVar("T")

CHUNK_BYTES: Final = 256 * 1024
STORE_PATIENCE_SECONDS: Final = 60.0
"""For an operation on the store, beside the time that its bytes take."""
MIN_STORE_BYTES_PER_SECOND: Final = 512 * 1024


@dataclass(frozen=True)
class StoredKey:
    """A copy in the store, and when it was written."""

    key: str
    modified: datetime


class MediaStore(Protocol):
    """Copies of media by key (storage/cid.py). A copy exists completely or not at all."""

    def write(self, key: str, source: BinaryIO, size: int, mime: str) -> None:
        """Store `source` from its current position; BytesDamagedError unless it has the key's CID and the size."""

    def read(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Stream the bytes from `start` to before `end`; missing bytes and invalid ranges raise before the first chunk."""

    def size(self, key: str) -> int | None:
        """Return the number of bytes, or None if there is no copy."""

    def delete(self, key: str) -> None:
        """Delete the copy, if it exists."""

    def stored(self) -> Iterator[StoredKey]:
        """Yield all copies, in any order."""

    def discard_unfinished(self, before: datetime) -> int:
        """Remove the remains of writes that crashed before then; returns how many."""


def open_store(media: str, s3_endpoint: str | None = None, s3_public_url: str | None = None) -> MediaStore:
    """Open `disk:PATH` or `s3:BUCKET`, as the settings have checked it."""
    kind, _, place = media.partition(":")
    if kind == "s3":
        from storage.stores.s3 import S3Store  # noqa: PLC0415 - implements this module; boto3 takes long to load

        return S3Store(place, endpoint=s3_endpoint, public_base=s3_public_url)
    from storage.stores.disk import DiskStore  # noqa: PLC0415 - implements this module

    return DiskStore(Path(place))


def public_copies(store: MediaStore) -> "S3Store | None":
    """Return the store if it has copies that anyone can fetch from it: S3 with S3_PUBLIC_URL."""
    return cast("S3Store", store) if getattr(store, "public_base", None) is not None else None


def store_seconds(size: int) -> float:
    """Return how long the store may take to write or copy `size` bytes; one that takes longer counts as unavailable."""
    return STORE_PATIENCE_SECONDS + size / MIN_STORE_BYTES_PER_SECOND


class StoreThreads:
    """Threads for work on a store or a disk, which may hang: none of it is without a limit of time."""

    def __init__(self, threads: Threads) -> None:
        self._threads: Final = threads

    @property
    def name(self) -> str:
        return self._threads.name

    @property
    def busy(self) -> int:
        return self._threads.busy

    async def run(self, seconds: float, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking work in a thread; raises StoreUnavailableError after so many seconds, and ThreadsBusyError."""
        try:
            async with asyncio.timeout(seconds) as limit:
                return await self._threads.run(work, *args, **kwargs)
        except TimeoutError:
            if not limit.expired():
                raise
            raise StoreUnavailableError("it did not answer in time") from None


async def in_time(threads: Threads, size: int, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Read or write `size` bytes in a thread; raises StoreUnavailableError where that takes too long: another attempt may succeed."""
    return await StoreThreads(threads).run(store_seconds(size), work, *args, **kwargs)


def with_first_chunk(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Read the first chunk now, so that errors are raised before a response begins."""
    for first in chunks:
        return chain((first,), chunks)
    return iter(())
