"""Puts a backup in place of the configured database and adds the media that the store lacks."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from sqlalchemy import inspect, select
from sqlalchemy.exc import DatabaseError

from eventstore.database import Database
from eventstore.restore_detection import mark_restored
from eventstore.schema import stored_event
from replay.backup.manifest import MEDIA, SQLITE_FILE, Manifest, MediaIncluded, listed_media
from replay.backup.sqlite import file_of, put_in_place
from replay.errors import WrongBackupError
from storage.disk import DiskStore
from storage.errors import BytesMissingError
from storage.store import MediaStore

FROM_BACKUP: Final = "a backup of {} was put back"
Upgrade = Callable[[Database, str], None]


@dataclass(frozen=True)
class RestoredMedia:
    """How many copies were added to the store, and how many it lacks because the backup has none."""

    added: int = 0
    missing: int = 0


def require_fitting(manifest: Manifest, database: Database, newest: str) -> None:
    """Raise WrongBackupError for a backup of the other kind of database or of a newer version."""
    if manifest.dialect != database.dialect:
        raise WrongBackupError(
            f"the backup is of {manifest.dialect}, and DATABASE_URL names {database.dialect}; `mastertape export`"
            " and `import` lead from one to the other"
        )
    if manifest.schema > newest:
        raise WrongBackupError(
            f"the backup has the schema {manifest.schema} of version {manifest.version}, and this version ends at"
            f" {newest}: restore it with that version or a newer one"
        )


def is_empty(database: Database) -> bool:
    """Whether there is no event, so that nothing is lost; a damaged file counts as full."""
    if database.is_sqlite and not file_of(database.url).exists():
        return True
    try:
        with database.read() as connection:
            if not inspect(connection).has_table(stored_event.name):
                return True
            return connection.execute(select(stored_event.c.position).limit(1)).first() is None
    except DatabaseError:
        if database.is_sqlite:
            return False
        raise


def restore_database(
    database: Database, folder: Path, manifest: Manifest, tables: Iterable[str], upgrade: Upgrade
) -> None:
    """Replace the database, all or nothing. Nothing is sent from it before `mastertape recovered`."""
    if database.is_sqlite:
        database.close()  # a connection of our own is one too
        put_in_place(folder / SQLITE_FILE, file_of(database.url), partial(_prepare, manifest, upgrade))
        return
    from replay.backup.postgres import load_tables  # noqa: PLC0415 - SQLite does without psycopg

    # new tables have new ids: every new connection notices the restore by itself
    load_tables(database, folder, manifest, tables, upgrade)


def restore_media(folder: Path, manifest: Manifest, store: MediaStore) -> RestoredMedia:
    """Add each listed copy that the store lacks, compared with its CID."""
    if manifest.media_included is MediaIncluded.LISTED:
        return RestoredMedia()
    source, added, missing = DiskStore(folder / MEDIA), 0, 0
    for each in listed_media(folder):
        if store.size(each.key) == each.size:
            continue
        try:
            with source.open(each.key) as file:
                store.write(each.key, file, each.size, each.mime)
            added += 1
        except BytesMissingError:
            missing += 1
    return RestoredMedia(added, missing)


def _prepare(manifest: Manifest, upgrade: Upgrade, database: Database) -> None:
    upgrade(database, "head")
    mark_restored(database, FROM_BACKUP.format(manifest.taken_at))
