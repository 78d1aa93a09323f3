"""Stages an incoming stream in a temporary file, counting and hashing it while it is read."""

import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from storage.cid import CidHasher
from storage.errors import TooLargeError, disk_errors

STAGED: Final = ".staged"


@dataclass(frozen=True)
class Staged:
    """A complete upload in a temporary file, which is removed when the `with` block ends."""

    path: Path
    cid: str
    size: int

    def open(self) -> BinaryIO:
        return self.path.open("rb")

    def close(self) -> None:
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Staging:
    """Writes an upload chunk by chunk. Without `finish`, the `with` block removes the file."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.limit = limit
        self._hasher = CidHasher()
        with disk_errors():
            folder.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.NamedTemporaryFile(dir=folder, suffix=STAGED, delete=False)  # noqa: SIM115
        self._finished = False

    def write(self, chunk: bytes) -> None:
        """Write the next bytes; raises TooLargeError above `limit`."""
        if self._hasher.size + len(chunk) > self.limit:
            raise TooLargeError(self.limit)
        self._hasher.update(chunk)
        with disk_errors():
            self._file.write(chunk)

    def finish(self) -> Staged:
        """Return the file, which the caller has to close."""
        with disk_errors():
            self._file.close()
        self._finished = True
        return Staged(Path(self._file.name), self._hasher.cid, self._hasher.size)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._finished:
            with suppress(OSError):  # unwritten bytes do not matter: the file is removed
                self._file.close()
            Path(self._file.name).unlink(missing_ok=True)


def staged_copy(chunks: Iterable[bytes], folder: Path, limit: int) -> Staged:
    """Write these bytes to a file, which the caller has to close; raises TooLargeError above `limit`."""
    with Staging(folder, limit) as staging:
        for chunk in chunks:
            staging.write(chunk)
        return staging.finish()


def discard_abandoned(folder: Path, before: datetime) -> int:
    """Remove the files of uploads that crashed before then; returns how many."""
    return discard_older(folder.glob(f"*{STAGED}"), before)


def discard_older(files: Iterable[Path], before: datetime) -> int:
    count = 0
    for path in files:
        with suppress(FileNotFoundError):
            if path.stat().st_mtime < before.timestamp():
                path.unlink()
                count += 1
    return count
