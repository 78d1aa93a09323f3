"""Tells the failures that are expected from faults: a log line or a command then says what happened and what comes next, without a traceback."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import httpx
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from api.errors import NotReadyError
from eventstore import errors as store
from service.config.settings import SettingsError
from service.schema.migrate import OutdatedSchemaError
from storage.errors import FULL as FULL_ERRNOS
from storage.errors import DiskFullError, StoreUnavailableError


class Expected(StrEnum):
    """A kind of failure that passes by itself, or that an operator ends; the value says what it is."""

    FULL = "a disk is full"
    AWAY = "the database does not answer"
    BUSY = "the database is busy"
    STORE = "the media store does not answer"
    SERVER = "another server does not answer"
    REFUSED = "refused"
    NOT_READY = "not ready"


KEPT: Final = "nothing acknowledged is lost"
NEXT: Final[Mapping[Expected, str]] = {
    Expected.FULL: f"tried again by itself, {KEPT}; `mastertape doctor` says which disk: make room",
    Expected.AWAY: f"tried again until it answers, {KEPT}; `mastertape doctor` names its address",
    Expected.BUSY: f"tried again by itself, {KEPT}",
    Expected.STORE: f"tried again by itself, {KEPT}; `mastertape doctor` says why",
    Expected.SERVER: f"tried again by itself, {KEPT}",
    Expected.REFUSED: f"refused until an operator has acted, {KEPT}",
    Expected.NOT_READY: f"/readyz is 503 until it is over, {KEPT}",
}
NEXT_OF_REQUEST: Final = f"the caller is asked to try again, {KEPT}"

BUSY_STATES: Final = frozenset(
    {store.LOCK_NOT_AVAILABLE, store.SERIALIZATION_FAILURE, store.DEADLOCK_DETECTED}
)
KINDS: Final[Mapping[type[Exception], Expected]] = {
    DiskFullError: Expected.FULL,
    StoreUnavailableError: Expected.STORE,
    httpx.TransportError: Expected.SERVER,
    NotReadyError: Expected.NOT_READY,
    store.LogBusyError: Expected.BUSY,
    store.ThreadsBusyError: Expected.BUSY,
    store.VersionConflictError: Expected.BUSY,
    PoolTimeoutError: Expected.BUSY,
    store.UnsafeConnectionError: Expected.REFUSED,
    store.EncodingError: Expected.REFUSED,
    store.PooledConnectionError: Expected.REFUSED,
    store.OutdatedProjectionError: Expected.REFUSED,
    store.NewerReleaseError: Expected.REFUSED,
    OutdatedSchemaError: Expected.REFUSED,
    SettingsError: Expected.REFUSED,
}
"""The first that an error is of, so that a full disk goes before its store."""
DRIVER_ERRORS: Final = frozenset({"OperationalError", "InterfaceError"})
"""PEP 249's names for what is not the program's own fault."""
SQLITE_FULL: Final = "SQLITE_FULL"
SQLITE_BUSY: Final = ("SQLITE_BUSY", "SQLITE_LOCKED")
SQLITE_AWAY: Final = ("SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_PROTOCOL")


def expected(error: BaseException | None) -> Expected | None:
    """Return what kind of expected failure it is; None for a fault of the program."""
    if isinstance(error, store.CommitFailedError):
        return expected(error.__cause__)
    if isinstance(error, DBAPIError):
        return _of_driver(error.orig) or (Expected.AWAY if error.connection_invalidated else None)
    if isinstance(error, OSError) and error.errno in FULL_ERRNOS:
        return Expected.FULL
    known = next((kind for each, kind in KINDS.items() if isinstance(error, each)), None)
    return known or _of_driver(error)


def first_line(error: BaseException) -> str:
    """Return the first line of the reason: of an error of the database the driver's, which has no SQL in it."""
    if isinstance(error, store.CommitFailedError) and error.__cause__ is not None:
        return f"{str(error).partition(':')[0]}: {first_line(error.__cause__)}"
    reason = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return (str(reason).strip().splitlines() or [type(reason).__name__])[0]


def _of_driver(error: BaseException | None) -> Expected | None:
    if not DRIVER_ERRORS & {kind.__name__ for kind in type(error).__mro__}:
        return None
    state, sqlite = getattr(error, "sqlstate", None), getattr(error, "sqlite_errorname", None)
    if state == store.DISK_FULL or sqlite == SQLITE_FULL:
        return Expected.FULL
    if (state or "").startswith(store.OF_ROW):
        return None  # such as a row that an index cannot hold
    if state in BUSY_STATES or (sqlite or "").startswith(SQLITE_BUSY):
        return Expected.BUSY
    if sqlite is not None and not sqlite.startswith(SQLITE_AWAY):
        return None  # such as a table that does not exist
    return Expected.AWAY
