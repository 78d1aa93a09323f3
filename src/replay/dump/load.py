"""Imports a dump file into an empty database, and rebuilds every read model from the log."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Final

from sqlalchemy import Connection, func, insert, select, text

from eventstore.event_log import EventLog
from eventstore.locks import lock_log
from eventstore.schema import stored_event
from eventstore.streams.ids import issue_only_above, peer_track
from outbox.mirror.tables import delivery_attempt, mirror_target
from projections.rebuild.rebuild import Progress, rebuild
from replay.dump.contents import BY_KIND, is_empty
from replay.dump.file_format import HEADER, Line, read_lines
from replay.errors import BrokenDumpError, NotEmptyError

ROWS_PER_PAGE: Final = 500
Lines = Callable[[int], None]


def check_dump(source: Path, *, schema: str, lines: Lines) -> dict[str, int]:
    """Check the whole file, import nothing, and return how many rows of each kind it has; raises BrokenDumpError."""
    counts: Counter[str] = Counter()
    with source.open("rb") as file:
        for line in read_lines(file):
            lines(line.number)
            if line.kind == HEADER:
                if (theirs := line.row.get("schema")) != schema:
                    reason = f"it was written under schema {theirs}, this database has {schema}"
                    raise BrokenDumpError(line.number, reason)
            else:
                _values(line)
                counts[line.kind] += 1
    return counts


def import_dump(
    log: EventLog, source: Path, *, schema: str, lines: Lines, progress: Progress
) -> dict[str, int]:
    """Check the file, import its rows in one transaction, and rebuild the read models.

    Raises BrokenDumpError, and NotEmptyError for a database with rows. After a crash between import and rebuild, run
    `mastertape rebuild`.
    """
    imported = check_dump(source, schema=schema, lines=lines)
    with log.database.write() as connection, source.open("rb") as file:
        lock_log(connection)
        if not is_empty(connection):
            raise NotEmptyError
        for kind, page in _pages(line for line in read_lines(file) if line.kind != HEADER):
            connection.execute(insert(BY_KIND[kind].table), page)
        _set_sequences(connection)
    rebuild(log, log.projections, progress=progress)
    return imported


def _values(line: Line) -> dict[str, Any]:
    if line.kind not in BY_KIND:
        raise BrokenDumpError(line.number, f"unknown kind {line.kind!r}; this version cannot import it")
    try:
        return BY_KIND[line.kind].from_row(line.row)
    except (ValueError, TypeError, AttributeError) as error:
        raise BrokenDumpError(line.number, str(error)) from error


def _pages(lines: Iterator[Line]) -> Iterator[tuple[str, Sequence[dict[str, Any]]]]:
    for kind, same in groupby(lines, lambda line: line.kind):
        while page := [_values(line) for line in islice(same, ROWS_PER_PAGE)]:
            yield kind, page


def _set_sequences(connection: Connection) -> None:
    """Advance the counters past the imported rows: no position, attempt id or track id is issued twice."""
    for column in (mirror_target.c.subject_id, peer_track.c.peer_id):
        if (newest := connection.scalar(select(func.max(column)))) is not None:
            issue_only_above(connection, newest)
    if connection.dialect.name == "sqlite":
        return  # SQLite counts on from the largest by itself
    for column in (stored_event.c.position, delivery_attempt.c.id):
        table = column.table.name
        connection.execute(
            text(
                f"select setval(pg_get_serial_sequence('{table}', '{column.name}'), max({column.name}))"  # noqa: S608
                f" from {table} having max({column.name}) is not null"
            )
        )
