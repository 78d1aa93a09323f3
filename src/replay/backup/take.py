"""Takes a backup beside a running service: the database from one snapshot, then the media that it names.

Bytes are written before the event that names them, so media that are copied after the snapshot are complete.
"""

import gzip
import json
import os
import shutil
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Table, select

from eventstore.database import Database
from eventstore.restore_detection import newest_position
from replay.backup.manifest import (
    MANIFEST,
    MEDIA,
    MEDIA_LIST,
    SQLITE_FILE,
    DumpedTable,
    Manifest,
    MediaIncluded,
    StoredMedia,
    digest_of,
    listed_media,
)
from replay.backup.sqlite import copy_database, file_of
from replay.errors import BackupExistsError
from storage.disk import DiskStore
from storage.errors import BytesDamagedError, BytesMissingError
from storage.media import MediaState, media

ROWS_PER_PAGE: Final = 1000
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Source:
    """What is backed up, and what the manifest says of it."""

    database: Database
    tables: Iterable[Table]
    version: str
    schema: str
    media_from: str
    kept_elsewhere: Sequence[str]


@dataclass
class _Snapshot:
    connection: Connection
    tables: Sequence[DumpedTable] = ()
    sequences: dict[str, int] = field(default_factory=dict)


def back_up(
    source: Source, target: Path, included: MediaIncluded, store: DiskStore | None, progress: Progress
) -> tuple[Manifest, Sequence[str]]:
    """Write the backup to a folder, which appears whole or not at all.

    Returns the manifest, and the keys of media that the store lacks or has damaged: they are not in the backup.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BackupExistsError(target)
    unfinished = target.with_name(target.name + ".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        unfinished.mkdir(mode=0o700, parents=True)
        manifest = _write(source, unfinished, included)
        lost = [] if store is None else _copy_media(unfinished, target.parent, manifest, store, progress)
        manifest.write(unfinished)
        os.sync()
        unfinished.replace(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return manifest, lost


def _write(source: Source, folder: Path, included: MediaIncluded) -> Manifest:
    with _snapshot(source, folder) as snapshot:
        count, size = _list_media(snapshot.connection, folder)
        position = newest_position(snapshot.connection)
        taken_at = source.database.now(snapshot.connection).isoformat()
    files = [SQLITE_FILE] if source.database.is_sqlite else [table.file for table in snapshot.tables]
    return Manifest(
        source.version,
        source.schema,
        source.database.dialect,
        taken_at,
        position,
        source.media_from,
        count,
        size,
        included,
        source.kept_elsewhere,
        snapshot.tables,
        snapshot.sequences,
        {name: digest_of(folder / name) for name in (*files, MEDIA_LIST)},
    )


@contextmanager
def _snapshot(source: Source, folder: Path) -> Generator[_Snapshot]:
    """Copy the database, and give a connection that sees what was copied."""
    if source.database.is_sqlite:
        copy_database(file_of(source.database.url), folder / SQLITE_FILE)
        with closing(Database(f"sqlite:///{folder / SQLITE_FILE}")) as copy, copy.read() as connection:
            yield _Snapshot(connection)
        return
    from replay.backup.postgres import dump_tables, read_sequences  # noqa: PLC0415 - SQLite does without psycopg

    with source.database.read() as connection:
        tables = dump_tables(connection, source.tables, folder)
        yield _Snapshot(connection, tables, read_sequences(connection))


def _list_media(connection: Connection, folder: Path) -> tuple[int, int]:
    """Write the list of live media; return their number and their size."""
    count = size = 0
    live = select(media.c.key, media.c.cid, media.c.size, media.c.mime).where(
        media.c.state == MediaState.LIVE
    )
    rows = connection.execute(live.order_by(media.c.key).execution_options(yield_per=ROWS_PER_PAGE))
    with gzip.open(folder / MEDIA_LIST, "wt") as file:
        for row in rows:
            file.write(json.dumps(asdict(StoredMedia(*row))) + "\n")
            count, size = count + 1, size + row.size
    return count, size


def _copy_media(
    folder: Path, backups: Path, manifest: Manifest, store: DiskStore, progress: Progress
) -> Sequence[str]:
    """Copy or link each listed copy; one that an earlier backup beside this one has is linked to it."""
    earlier = [DiskStore(each.parent / MEDIA) for each in backups.glob(f"*/{MANIFEST}")]
    sources = [store] if manifest.media_included is MediaIncluded.LINKED else earlier
    target, lost = DiskStore(folder / MEDIA), []
    for number, each in enumerate(listed_media(folder), 1):
        try:
            if not any(target.link(each.key, source, each.size) for source in sources):
                with store.open(each.key) as file:
                    target.write(each.key, file, each.size, "")
        except (BytesMissingError, BytesDamagedError):
            lost.append(each.key)
        progress(number, manifest.media_count)
    return lost
