"""Allowances of requests per minute in memory that processes can share.

Each key has an allowance that refills evenly (GCRA), so that nothing has to be counted per request and a burst may
use all of it at once. The memory is a table of fixed size: ever new keys cannot fill it.
"""

import fcntl
import math
import mmap
import struct
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

MINUTE_SECONDS: Final = 60.0
BUCKETS: Final = 16_384
SLOTS_PER_BUCKET: Final = 8
_SLOT: Final = struct.Struct("=Qd")  # the key's hash, and when its allowance is full again
_BUCKET: Final = struct.Struct("=" + "Qd" * SLOTS_PER_BUCKET)
MEMORY_BYTES: Final = BUCKETS * _BUCKET.size


def memory_file() -> int:
    """Return the descriptor of an empty table that other processes can inherit."""
    with tempfile.TemporaryFile() as file:
        file.truncate(MEMORY_BYTES)
        return fcntl.fcntl(file, fcntl.F_DUPFD_CLOEXEC, 0)


@dataclass(frozen=True)
class Taken:
    """The state of an allowance after a request; `reset` and `retry_after` are in seconds."""

    limit: int
    remaining: int
    reset: int
    retry_after: int | None = None


class FullTimes:
    """When each key's allowance is full again, in seconds of a clock that all processes of the machine share."""

    def __init__(self, file: int) -> None:
        self._file = file
        self._memory = mmap.mmap(file, MEMORY_BYTES)

    @contextmanager
    def slot(self, key: str) -> Generator["Slot"]:
        """Lock the key's slot against other processes during the block.

        A new key of a full bucket takes the slot of the allowance that is full again first.
        """
        number = int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "big") or 1
        begin = number % BUCKETS * _BUCKET.size
        fcntl.lockf(self._file, fcntl.LOCK_EX, _BUCKET.size, begin)
        try:
            values = _BUCKET.unpack_from(self._memory, begin)
            numbers, times = values[::2], values[1::2]
            known = number in numbers
            at = numbers.index(number) if known else times.index(min(times))
            yield Slot(self._memory, begin + at * _SLOT.size, number, times[at] if known else 0.0)
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, _BUCKET.size, begin)


@dataclass(frozen=True)
class Slot:
    """One key's place in the table; `full_at` is 0 for a new one."""

    _memory: mmap.mmap
    _offset: int
    _number: int
    full_at: float

    def keep(self, full_at: float) -> None:
        _SLOT.pack_into(self._memory, self._offset, self._number, full_at)


class Allowance:
    """`limit` requests per minute for each key; `name` keeps its keys apart from those of other allowances."""

    def __init__(
        self, name: str, limit: int, times: FullTimes, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limit: Final = limit
        self._name = name
        self._times = times
        self._clock = clock
        self._interval = MINUTE_SECONDS / limit

    def take(self, key: str) -> Taken:
        """Take one request from the allowance; a refused request takes nothing."""
        now = self._clock()
        with self._times.slot(f"{self._name} {key}") as slot:
            full_at = max(slot.full_at, now) + self._interval
            if full_at - now > MINUTE_SECONDS + self._interval / 1000:
                wait = math.ceil(full_at - now - MINUTE_SECONDS)
                return Taken(self.limit, 0, math.ceil(full_at - self._interval - now), wait)
            slot.keep(full_at)
        remaining = int((MINUTE_SECONDS - (full_at - now)) / self._interval + 0.001)
        return Taken(self.limit, remaining, math.ceil(full_at - now))
