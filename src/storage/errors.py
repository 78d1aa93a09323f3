"""Errors of storage. The docstring of a class is its message; api/error_responses.py maps it to HTTP."""


class StorageError(Exception):
    """The media cannot be stored or read."""

    def __init__(self, detail: str | None = None) -> None:
        doc = type(self).__doc__ or ""
        super().__init__(f"{doc.rstrip('.')}: {detail}" if detail else doc)
        self.detail = detail


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


class DiskFullError(StoreUnavailableError):
    """The disk is full."""
