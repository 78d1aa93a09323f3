"""Export: the log and what belongs to it, as a tape."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from eventstore.database import Database
from replay.dump.contents import KEPT, LOG, OWN, rows_of
from replay.dump.file_format import Row, written


def export(database: Database, target: Path, *, schema: str, lines: Callable[[int], None]) -> int:
    """Write everything into a file, which is there whole or not at all; returns how many lines it has.

    One snapshot: what is committed meanwhile is not in it. `lines` is told how many there are so far.
    """
    unfinished = target.with_name(target.name + ".part")
    count = 0
    try:
        with database.read(), unfinished.open("wb") as file:
            for line in written(_header(database, schema), _rows(database)):
                file.write(line)
                count += 1
                lines(count)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return count


def own_lines(database: Database, did: str, *, schema: str) -> Iterator[bytes]:
    """Return an account's own rows as a tape, line by line; no connection is held while a client reads slowly.

    So it is not of one moment. What came into the log meanwhile follows at its end: nothing that was observed is ahead of it.
    """
    return written({**_header(database, schema), "did": did}, _own_rows(database, did))


def _own_rows(database: Database, did: str) -> Iterator[tuple[str, Row]]:
    last = (0,)
    for kept in (*OWN, LOG):
        for row in rows_of(database, kept, did, after=last if kept is LOG else None):
            if kept is LOG:
                last = (row["position"],)
            yield kept.kind, row


def _header(database: Database, schema: str) -> Row:
    with database.read() as connection:
        return {"schema": schema, "exported_at": database.now(connection).isoformat()}


def _rows(database: Database) -> Iterator[tuple[str, Row]]:
    for kept in KEPT:
        for row in rows_of(database, kept):
            yield kept.kind, row
