"""Copies an SQLite database beside its users, and puts a copy in its place."""

import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from sqlalchemy import make_url

from eventstore.database import SQLITE_BUSY_SECONDS, Database
from replay.errors import DatabaseInUseError


def file_of(url: str) -> Path:
    return Path(str(make_url(url).database))


def copy_database(source: Path, target: Path) -> None:
    """Copy a snapshot by SQLite's online backup, in one step: no writer makes it begin again."""
    with (
        closing(sqlite3.connect(source, timeout=SQLITE_BUSY_SECONDS)) as live,
        closing(sqlite3.connect(target)) as copy,
    ):
        live.backup(copy)


def put_in_place(source: Path, target: Path, prepare: Callable[[Database], None]) -> None:
    """Replace the database by a copy of `source`, prepared before it is seen. A process that has it open is an error."""
    staged = target.with_name(target.name + ".restoring")
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        shutil.copyfile(source, staged)
        with closing(Database(f"sqlite:///{staged}")) as database:
            prepare(database)
        _require_unused(target)
        with staged.open("rb") as file:
            os.fsync(file.fileno())
        for rest in ("-wal", "-shm"):
            target.with_name(target.name + rest).unlink(missing_ok=True)
        staged.replace(target)
    finally:
        for rest in ("", "-wal", "-shm"):
            staged.with_name(staged.name + rest).unlink(missing_ok=True)


def _require_unused(file: Path) -> None:
    """Leave WAL mode, which SQLite refuses while another connection is open; a damaged file may be replaced."""
    if not file.exists():
        return
    with closing(sqlite3.connect(file, timeout=0)) as connection:
        try:
            connection.execute("pragma journal_mode = delete").close()
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorname.startswith("SQLITE_BUSY"):
                raise DatabaseInUseError("another process has it open") from None
