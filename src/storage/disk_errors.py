"""A disk that is full, away or forbidden: one error for all of it, whoever writes."""

import errno
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from storage.errors import BytesMissingError, DiskFullError, StoreUnavailableError

FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def disk_errors(key: str | None = None) -> Generator[None]:
    """Raise StoreUnavailableError for what the disk refuses, and of these DiskFullError for want of room.

    BytesMissingError where `key` has no file.
    """
    try:
        yield
    except FileNotFoundError as exc:
        if key is not None:
            raise BytesMissingError(key) from None
        raise StoreUnavailableError(str(exc)) from exc
    except OSError as exc:
        kind = DiskFullError if exc.errno in FULL else StoreUnavailableError
        raise kind(str(exc)) from exc
