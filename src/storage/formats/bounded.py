"""A reader that bounds the time and memory that parsing a malicious file takes."""

import io
from typing import BinaryIO, Final

from storage.errors import InvalidMediaError

MAX_READS: Final = 1_500_000  # a valid Ogg file of 1.5 GB takes 0.7 million
MAX_BYTES: Final = 64 * 2**20
MAX_BYTES_AT_ONCE: Final = 16 * 2**20


class BoundedReader(io.RawIOBase):
    """Raises InvalidMediaError after MAX_READS reads or MAX_BYTES bytes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._reads = MAX_READS
        self._bytes = MAX_BYTES
        self.size = file.seek(0, io.SEEK_END)

    def read(self, size: int = -1, /) -> bytes:
        if not 0 <= size <= MAX_BYTES_AT_ONCE:
            raise InvalidMediaError("it has a part that is too large")
        data = self._file.read(size)
        self._reads -= 1
        self._bytes -= len(data)
        if self._reads < 0 or self._bytes < 0:
            raise InvalidMediaError("it takes too long to read")
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()
