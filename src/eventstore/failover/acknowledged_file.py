"""The newest acknowledged transactions of one process, in a mapped file: it survives a kill of the process, not its machine.

The process holds a lock on its file; a file that can be locked is of a process that has ended.
"""

import fcntl
import mmap
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from struct import Struct
from typing import Final
from uuid import UUID, uuid4

from eventstore.change import RecordedEvent

SLOTS: Final = 128
"""More than the transactions that a process has in flight (`Database`: 32): so the one that was committed last is always kept.

A transaction is overwritten after 128 later ones; of these, only those that were in flight beside it can have been committed
before it.
"""
REQUEST_BYTES: Final = 64
_SLOT: Final = Struct(f"<Qq16sq{REQUEST_BYTES}sQ")
"""Number, position, stream, version, request, and the number again: a slot that a kill cut off has two different ones."""


@dataclass(frozen=True)
class Acknowledged:
    """The newest event of an acknowledged transaction."""

    position: int
    stream: str
    version: int
    request: bytes
    """The beginning of the request's id."""


class AcknowledgedFile:
    """The file of this process, locked, or that of one which has ended."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path: Final = path
        self._descriptor: Final = descriptor
        self._map: Final = mmap.mmap(descriptor, SLOTS * _SLOT.size)
        self._numbers: Final = count(1)

    @classmethod
    def create(cls, folder: Path) -> "AcknowledgedFile":
        """Make a file under a new name; it has the name only once it is locked."""
        folder.mkdir(exist_ok=True)
        path = folder / uuid4().hex
        unlocked = path.with_suffix(".new")
        descriptor = os.open(unlocked, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.write(
            descriptor, bytes(SLOTS * _SLOT.size)
        )  # a hole could not be filled on a full disk, which kills the process
        unlocked.rename(path)
        return cls(path, descriptor)

    def keep(self, event: RecordedEvent) -> None:
        """Keep the newest event of a transaction that was committed. Callable from any thread."""
        number = next(self._numbers)
        _SLOT.pack_into(
            self._map,
            number % SLOTS * _SLOT.size,
            number,
            event.position,
            event.event.originator_id.bytes,
            event.version,
            event.request_id.encode()[:REQUEST_BYTES],
            number,
        )

    def read(self) -> Sequence[Acknowledged]:
        """Return what is kept; without a slot whose writing was cut off, since that transaction was not acknowledged."""
        return [
            Acknowledged(position, str(UUID(bytes=stream)), version, request.rstrip(b"\0"))
            for begun, position, stream, version, request, ended in _SLOT.iter_unpack(self._map[:])
            if begun == ended != 0
        ]

    def close(self) -> None:
        """Close the file, which stays; its lock ends."""
        self._map.close()
        os.close(self._descriptor)

    def remove(self) -> None:
        """Delete the file: it proves nothing that is still to be proved."""
        with suppress(FileNotFoundError):
            self.path.unlink()
        self.close()


def files_left(folder: Path) -> list[AcknowledgedFile]:
    """Open the files of processes that have ended."""
    return [file for path in sorted(folder.glob("*")) if not path.suffix and (file := _file_left(path))]


def _file_left(path: Path) -> AcknowledgedFile | None:
    try:
        descriptor = os.open(path, os.O_RDWR)
    except (FileNotFoundError, PermissionError):
        return None  # removed meanwhile; or of a command that another user ran, whose own row stays unproven
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return AcknowledgedFile(path, descriptor)
