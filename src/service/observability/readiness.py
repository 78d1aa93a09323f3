"""Checks that this process may work on its database: schema and projections must be of its own version."""

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from eventstore.coordination.restore_detection import restored_because
from eventstore.coordination.threads import begun
from eventstore.errors import EventStoreError, OutdatedProjectionError
from eventstore.event_log import EventLog
from identity.sessions.encryption import Cipher
from identity.sessions.session_store import reencrypt_logins
from service.config.secret_keys import secret_keys
from service.config.settings import Settings, SettingsError
from service.schema.distribution import ClusterError, require_placed
from service.schema.migrate import OutdatedSchemaError, require_schema
from storage import errors
from storage.errors import StorageError, free_bytes
from storage.media import IS_LIVE, Media, media

SAMPLE_TTL_SECONDS: Final = 5.0
SAMPLE_TIMEOUT_SECONDS: Final = 2.0
SAMPLED_COPIES: Final = 5


@dataclass(frozen=True)
class StoreHealth:
    full: str | None = None
    """Which disk has no room, since when, and what is refused."""
    lost: str | None = None
    """Why nothing may be stored; a folder whose disk is not mounted would take the bytes, and the mount then hide them."""
    away: str | None = None
    """Why media can be neither read nor written now."""
    free: Mapping[Path, int] = field(default_factory=dict)
    """The free bytes of the disk of each folder; nothing of a disk that does not answer."""


class MediaHealth:
    """Samples the disks of `folders` and a few of the oldest copies in a thread; a result is reused for SAMPLE_TTL_SECONDS."""

    def __init__(self, media: Media, name: str, folders: Sequence[Path] = ()) -> None:
        self._media: Final = media
        self._name: Final = name
        self._folders: Final = folders
        self._lock: Final = threading.Lock()
        self._sampling: Future[StoreHealth] = Future()
        self._sampled_at: float | None = None
        self._full_since: datetime | None = None

    def health(self) -> StoreHealth:
        with self._lock:
            now = time.monotonic()
            is_old = self._sampled_at is None or now - self._sampled_at >= SAMPLE_TTL_SECONDS
            if is_old and (self._sampled_at is None or self._sampling.done()):
                self._sampling, self._sampled_at = begun("media-watch", self._sample), now
            sampling, sampled_at = self._sampling, self._sampled_at or now
        try:
            return sampling.result(max(0.0, sampled_at + SAMPLE_TIMEOUT_SECONDS - now))
        except TimeoutError:
            return self._away("does not answer")

    def _sample(self) -> StoreHealth:
        try:
            free = {folder: free_bytes(folder) for folder in self._folders}
        except StorageError as error:
            return self._away(str(error))
        try:
            store = self._store()
        except (SQLAlchemyError, EventStoreError):  # then readiness says so; the disks are known all the same
            store = StoreHealth()
        lacking = [folder for folder, room in free.items() if room < errors.MIN_FREE_BYTES]
        if not lacking:
            self._full_since = None
            return replace(store, free=free)
        self._full_since = self._full_since or datetime.now(UTC)
        full = (
            f"the disk of {lacking[0]} is full since {self._full_since:%Y-%m-%d %H:%M:%S} UTC, {free[lacking[0]] // 1024} KiB are "
            "free: edits and uploads that find no room are refused, all else goes on: make room"
        )
        return replace(store, full=full, free=free)

    def _store(self) -> StoreHealth:
        oldest = sa.select(media.c.key).where(IS_LIVE).order_by(media.c.touched_at).limit(SAMPLED_COPIES)
        with self._media.database.read() as connection:
            keys = connection.scalars(oldest).all()
        try:
            is_there = not keys or any(self._media.store.size(key) is not None for key in keys)
        except StorageError as error:
            return self._away(str(error))
        if is_there:
            return StoreHealth()
        return StoreHealth(
            lost=f"the media store {self._name} has none of the {len(keys)} oldest copies: is it the right one, and mounted?"
        )

    def _away(self, why: str) -> StoreHealth:
        return StoreHealth(away=f"the media store {self._name} is away: {why}")


TRIED_LOGINS: Final = 20


def require_ready(log: EventLog) -> None:
    """Raise OutdatedSchemaError, ClusterError or OutdatedProjectionError; their messages name the command that helps."""
    require_schema(log.database)
    require_placed(log.database)
    if log.newer_release is not None:
        raise log.newer_release
    for projection in log.outdated():
        raise OutdatedProjectionError(projection.name)


def require_keys(log: EventLog, settings: Settings) -> None:
    """Raise SettingsError where SECRET_KEYS decrypt none of the logins that are kept; a few of them tell."""
    cipher = Cipher(secret_keys(settings))
    found = reencrypt_logins(log.database, cipher, dry_run=True, limit=TRIED_LOGINS)
    if 0 < len(found.lost) == found.logins:
        raise SettingsError(
            "SECRET_KEYS decrypt none of the logins that are kept: put back the key that encrypted them (on loopback it was "
            "in DATA/secret_keys), or run `mastertape reseal --end-lost`, after which their owners sign in again"
        )


def why_not_ready(log: EventLog, store: MediaHealth | None = None) -> str | None:
    """Return what makes requests fail, of the database or the media store; None if nothing does."""
    try:
        require_ready(log)
        if store is not None:
            return store.health().lost
    except (OutdatedSchemaError, ClusterError, EventStoreError) as error:
        return str(error)
    except (DBAPIError, PoolTimeoutError):
        return "the database does not answer"
    return None


def why_silent(log: EventLog) -> str | None:
    """Return why relays send nothing to any PDS; None if they do."""
    with log.database.read() as connection:
        because = restored_because(connection)
    if because is None:
        return None
    return f"the database was restored ({because}): nothing is sent before `mastertape recovered`"
