"""A disk that is full, away or forbidden: one error for all of it, whoever writes."""

from collections.abc import Generator
from contextlib import contextmanager

from storage.errors import BytesMissingError, StoreUnavailableError


@contextmanager
def disk_errors(key: str | None = None) -> Generator[None]:
    """Raise StoreUnavailableError for what the disk refuses, BytesMissingError where `key` has no file."""
    try:
        yield
    except FileNotFoundError as exc:
        if key is not None:
            raise BytesMissingError(key) from None
        raise StoreUnavailableError(str(exc)) from exc
    except OSError as exc:
        raise StoreUnavailableError(str(exc)) from exc
