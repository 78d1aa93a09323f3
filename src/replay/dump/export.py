"""Exports the log, with the tables that cannot be made from it, to a dump file."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from eventstore.database import Database
from replay.dump.contents import ACCOUNT_OWNED, EXPORTED, LOG, rows_of
from replay.dump.file_format import Row, write_lines


def export(database: Database, target: Path, *, schema: str, lines: Callable[[int], None]) -> int:
    """Write a snapshot of everything to a file, which appears whole or not at all; return the number of its lines.

    `lines` is called with the number of lines so far. Raises OSError with the name of the file.
    """
    unfinished = target.with_name(target.name + ".part")
    count = 0
    try:
        with database.read(), unfinished.open("wb") as file:
            rows = ((each.kind, row) for each in EXPORTED for row in rows_of(database, each))
            for line in write_lines(_header(database, schema), rows):
                file.write(line)
                count += 1
                lines(count)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(target)
    except OSError as error:
        error.filename = error.filename or str(unfinished)  # a write does not name its file
        raise
    finally:
        unfinished.unlink(missing_ok=True)
    return count


def account_lines(database: Database, did: str, *, schema: str) -> Iterator[bytes]:
    """Yield the lines of a dump file with an account's own rows; no connection is held while a client reads slowly.

    It is therefore no snapshot. Events that are appended meanwhile follow at its end, so that no exported observation is
    ahead of the log.
    """

    def own_rows() -> Iterator[tuple[str, Row]]:
        last = (0,)
        for each in (*ACCOUNT_OWNED, LOG):
            for row in rows_of(database, each, did, after=last if each is LOG else None):
                if each is LOG:
                    last = (row["position"],)
                yield each.kind, row

    return write_lines({**_header(database, schema), "did": did}, own_rows())


def _header(database: Database, schema: str) -> Row:
    with database.read() as connection:
        return {"schema": schema, "exported_at": database.now(connection).isoformat()}
