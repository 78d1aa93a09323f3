"""Media as files: one folder per two characters of the CID, one file per copy."""

import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

from storage.cid import CidHasher, cid_of_key, is_key
from storage.errors import BytesDamagedError, RangeOutsideError, disk_errors
from storage.stores.store import CHUNK_BYTES, StoredKey, with_first_chunk
from storage.uploads.upload import discard_older

UNFINISHED: Final = ".unfinished"
_SHARD: Final = slice(8, 10)  # the first characters of a CID that are digest only


class DiskStore:
    """A MediaStore in a folder. Acknowledged writes survive a power cut."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def write(self, key: str, source: BinaryIO, size: int, mime: str) -> None:  # noqa: ARG002
        """Write to a temporary name, sync, rename, sync the folder."""
        path = self._path(key)
        unfinished = path.with_name(path.name + UNFINISHED)
        with disk_errors():
            if not path.parent.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                _sync_folder(self.root)
            try:
                with unfinished.open("wb") as target:
                    _copy(source, target, key, size)
                    target.flush()
                    os.fsync(target.fileno())
                unfinished.replace(path)
            except BaseException:
                unfinished.unlink(missing_ok=True)
                raise
            _sync_folder(path.parent)

    def read(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        return with_first_chunk(self._chunks(key, start, end))

    def _chunks(self, key: str, start: int, end: int | None) -> Iterator[bytes]:
        with disk_errors(key), self._path(key).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            stop = size if end is None else min(end, size)
            if not 0 <= start <= stop or (start == stop and (end is not None or start > 0)):
                raise RangeOutsideError(key)
            file.seek(start)
            left = stop - start
            while left and (chunk := file.read(min(CHUNK_BYTES, left))):
                left -= len(chunk)
                yield chunk

    def size(self, key: str) -> int | None:
        with disk_errors():
            try:
                return self._path(key).stat().st_size
            except FileNotFoundError:
                return None

    def delete(self, key: str) -> None:
        path = self._path(key)
        with disk_errors(), suppress(FileNotFoundError):
            path.unlink()
            _sync_folder(path.parent)

    def stored(self) -> Iterator[StoredKey]:
        for path in self.root.glob("*/*"):
            if is_key(path.name):
                with suppress(FileNotFoundError):
                    yield StoredKey(path.name, datetime.fromtimestamp(path.stat().st_mtime, UTC))

    def discard_unfinished(self, before: datetime) -> int:
        return discard_older(self.root.glob(f"*/*{UNFINISHED}"), before)

    def _path(self, key: str) -> Path:
        return self.root / cid_of_key(key)[_SHARD] / key


def _copy(source: BinaryIO, target: BinaryIO, key: str, size: int) -> None:
    hasher = CidHasher()
    while chunk := source.read(CHUNK_BYTES):
        hasher.update(chunk)
        target.write(chunk)
    if (hasher.cid, hasher.size) != (cid_of_key(key), size):
        raise BytesDamagedError(key)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
