"""Maps the operating system's disk errors to ours, and reports the free space."""

import errno
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from storage.errors import BytesMissingError, DiskFullError, StoreUnavailableError

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
MIN_FREE_BYTES: Final = 16 * 2**20
"""Below this a disk counts as full: databases stop before the last byte is used."""
LOW_FREE_BYTES: Final = 2 * 2**30


@contextmanager
def disk_errors(key: str | None = None) -> Generator[None]:
    """Raise DiskFullError if the disk is full, BytesMissingError if `key` has no file, else StoreUnavailableError."""
    try:
        yield
    except FileNotFoundError as exc:
        if key is not None:
            raise BytesMissingError(key) from None
        raise StoreUnavailableError(str(exc)) from exc
    except OSError as exc:
        kind = DiskFullError if exc.errno in FULL else StoreUnavailableError
        raise kind(str(exc)) from exc


def free_bytes(folder: Path) -> int:
    """Return the free space in bytes for a folder, which need not exist."""
    with disk_errors():
        return shutil.disk_usage(existing(folder)).free


def existing(folder: Path) -> Path:
    """Return the folder, or its nearest existing parent."""
    return next(each for each in (folder, *folder.absolute().parents) if each.exists())
