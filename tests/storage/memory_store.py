"""A MediaStore in memory, with its own clock and a hook before and after each change."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import BinaryIO

from storage.cid import cid_of, cid_of_key
from storage.errors import BytesDamagedError, BytesMissingError, RangeOutsideError
from storage.stores.store import StoredKey


def _now() -> datetime:
    return datetime.now(UTC)


class MemoryStore:
    def __init__(self, clock: Callable[[], datetime] = _now) -> None:
        self.copies: dict[str, tuple[bytes, datetime]] = {}
        self.clock = clock
        self.at: Callable[[str], None] = lambda _step: None

    def write(self, key: str, source: BinaryIO, size: int, mime: str) -> None:  # noqa: ARG002
        assert key not in self.copies, "a key is written once"
        self.at("before write")
        data = source.read()
        if (cid_of(data), len(data)) != (cid_of_key(key), size):
            raise BytesDamagedError(key)
        self.copies[key] = data, self.clock()
        self.at("after write")

    def read(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        if key not in self.copies:
            raise BytesMissingError(key)
        data = self.copies[key][0]
        stop = len(data) if end is None else min(end, len(data))
        if not 0 <= start <= stop or (start == stop and (end is not None or start > 0)):
            raise RangeOutsideError(key)
        return iter([data[start:stop]])

    def size(self, key: str) -> int | None:
        self.at("size")
        return len(self.copies[key][0]) if key in self.copies else None

    def delete(self, key: str) -> None:
        self.at("before delete")
        self.copies.pop(key, None)
        self.at("after delete")

    def stored(self) -> Iterator[StoredKey]:
        return iter([StoredKey(key, modified) for key, (_, modified) in list(self.copies.items())])

    def discard_unfinished(self, before: datetime) -> int:  # noqa: ARG002
        return 0
