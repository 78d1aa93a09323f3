"""Errors of storage. The docstring of a class is its message; api/error_responses.py maps it to HTTP."""

import errno
import shutil
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from aggregates.errors import ServiceError


class StorageError(ServiceError):
    """The media cannot be stored or read."""

    def __init__(self, detail: str | None = None) -> None:
        doc = type(self).__doc__ or ""
        self.detail = detail
        super().__init__(f"{doc.rstrip('.')}: {detail}" if detail else doc)


class RefusedMediaError(StorageError):
    """The file is refused."""


class InvalidMediaError(RefusedMediaError):
    """The file is invalid."""


class UnsupportedMediaError(RefusedMediaError):
    """Files of this kind are not supported."""


class TooLargeError(RefusedMediaError):
    """The file is larger than allowed."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"at most {limit} bytes")
        self.limit = limit


class ParserEndedError(StorageError):
    """The process that reads files was ended. Nothing was changed; try again."""


class UploadNotFoundError(StorageError):
    """There is no such upload, or it ended after 24 hours. Begin another one."""


class OffsetMismatchError(StorageError):
    """The upload goes on at another offset, that of Upload-Offset: it has the bytes before it. Nothing was changed."""

    def __init__(self, offset: int) -> None:
        super().__init__()
        self.offset = offset
        self.headers = {"Upload-Offset": str(offset), "Upload-Complete": "?0"}


class TakenDownError(RefusedMediaError):
    """An operator of this service has taken these bytes down."""


class MediaGoneError(StorageError):
    """No live bytes have this CID: they were never here, or the sweep took them. Upload them again."""


class BytesMissingError(StorageError):
    """The store does not have these bytes."""


class BytesDamagedError(StorageError):
    """The bytes do not match their CID."""


class RangeOutsideError(StorageError):
    """The requested range lies outside the file."""


class StoreUnavailableError(StorageError):
    """The store cannot be reached or does not respond properly."""


class NotReservedError(Exception):
    """Bytes were not reserved for the unit that names them, or too long ago: they are, and it begins again."""

    def __init__(self, cids: Sequence[str]) -> None:
        super().__init__()
        self.cids = cids


class DiskFullError(StoreUnavailableError):
    """The disk is full."""


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
