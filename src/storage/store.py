"""What every store of bytes does, and which one the settings mean."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import BinaryIO, Final, Protocol

CHUNK_BYTES: Final = 256 * 1024


@dataclass(frozen=True)
class StoredKey:
    """One copy that lies in the store, and when it was written."""

    key: str
    modified: datetime


class MediaStore(Protocol):
    """Copies of media by key (storage/cid.py). A copy is there whole or not at all."""

    def write(self, key: str, source: BinaryIO, size: int, mime: str) -> None:
        """Store all of `source`, read from where it stands; BytesDamagedError unless it has the key's CID and the size."""

    def read(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Stream the bytes from `start` up to, not including, `end`. Missing bytes and bad ranges raise at once."""

    def size(self, key: str) -> int | None:
        """Return the number of bytes, or None when there are none."""

    def delete(self, key: str) -> None:
        """Remove the copy; removing one that is not there is fine."""

    def stored(self) -> Iterator[StoredKey]:
        """Walk over all copies, in no order."""

    def discard_unfinished(self, before: datetime) -> int:
        """Remove what writes that died before then have left; give how many."""


class PublicCopies(Protocol):
    """Copies that everybody may fetch from the store itself; only S3 with S3_PUBLIC_URL has them."""

    def publish(self, key: str, name: str, mime: str) -> None:
        """Put a public copy of the bytes under the name."""

    def unpublish(self, name: str) -> None:
        """Take the public copy away; one that is not there is fine."""

    def published(self, beginning: str = "") -> Iterator[str]:
        """Walk over the names of all public copies, or of those that begin so."""

    @property
    def public_address(self) -> str:
        """Where everybody finds them: the address that comes before `/NAME`."""


def open_store(
    media: str, data_dir: Path, s3_endpoint: str | None = None, s3_public_url: str | None = None
) -> MediaStore:
    """Open `disk:PATH` or `s3:BUCKET`. A PATH that begins with `DATA/` lies in the data folder."""
    kind, _, place = media.partition(":")
    if kind == "disk" and place:
        from storage.disk import DiskStore  # noqa: PLC0415 - implements this module

        first, *rest = Path(place).parts
        return DiskStore(data_dir.joinpath(*rest) if first == "DATA" else Path(place))
    if kind == "s3" and place:
        from storage.s3 import S3Store  # noqa: PLC0415 - implements this module; boto3 takes long to load

        return S3Store(place, endpoint=s3_endpoint, public_base=s3_public_url)
    msg = f"MEDIA must be disk:PATH or s3:BUCKET, not {media!r}"
    raise ValueError(msg)


def public_copies(store: MediaStore) -> PublicCopies | None:
    """Return the store's public copies, if it has any."""
    from storage.disk import DiskStore  # noqa: PLC0415 - implements this module

    if isinstance(store, DiskStore):
        return None
    from storage.s3 import S3Store  # noqa: PLC0415 - implements this module; boto3 takes long to load

    return store if isinstance(store, S3Store) and store.public_base is not None else None


def started(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Take the first chunk now: errors come before an answer has begun, and what is open closes when dropped."""
    for first in chunks:
        return chain((first,), chunks)
    return iter(())
