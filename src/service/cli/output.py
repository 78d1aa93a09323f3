"""Output of the command line: progress bars, JSON, and errors in one line."""

import errno
import getpass
import sys
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any, Final

import click
import sqlalchemy as sa
from pydantic_core import to_json
from sqlalchemy.exc import DBAPIError

from aggregates.errors import ServiceError
from eventstore.change import Envelope, Via
from service.config.settings import load
from service.observability.expected import Expected, expected, first_line

DRIFT: Final = 3
"""Exit code of a verification that found differences."""

ERRNOS_OF_CLICK: Final = frozenset({None, errno.EPIPE})
"""click ends quietly when the reader of its output is gone."""

NO_CONNECTION: Final = "connection failed: "
"""How psycopg begins the reason why there is no connection."""

PIPED_WIDTH: Final = 100_000
"""Columns of a table that no person reads as it is printed: enough that no URI is wrapped."""


def confirm(consequence: str, *, agreed: bool) -> None:
    """Ask whether to go on; raises UsageError without a terminal, and Abort on a no."""
    if agreed:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"{consequence}. Nothing was done; say --yes to go on.")
    click.confirm(f"{consequence}. Go on?", abort=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print the rows, if there are any; a terminal folds long values, a pipe gets each row in one line."""
    from rich.console import Console  # noqa: PLC0415 - takes long to load
    from rich.table import Table  # noqa: PLC0415

    table = Table(*columns)
    for column in table.columns:
        column.overflow = "fold"
    for row in rows:
        table.add_row(*row)
    console = Console(markup=False, emoji=False)  # the text of an error is a PDS's own
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    if table.row_count:
        console.print(table)


def print_found(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, kinds: int, count: str, show_all: bool
) -> None:
    """Print all rows, or one for each kind, which the first cells say, with its `count` and the last cell of its first row."""
    if show_all:
        print_table(columns, rows)
        return
    groups: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[:kinds])].append(row[-1])
    grouped = ((*kind, str(len(of_kind)), of_kind[0]) for kind, of_kind in sorted(groups.items()))
    print_table((*columns[:kinds], count, "for example"), grouped)


def one_line(error: Exception) -> str | None:
    """Return the message for an expected failure, None for any other."""
    reason = first_line(error)
    if isinstance(error, OSError):
        reason = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror)
    if expected(error) is Expected.FULL:
        return (
            f"a disk is full ({reason}). `mastertape doctor` says which: make room and run it again. "
            "Nothing acknowledged is lost."
        )
    if isinstance(error, ServiceError):
        return str(error)
    if isinstance(error, DBAPIError):
        if reason.startswith(NO_CONNECTION):
            which = sa.make_url(load().database_url).render_as_string()
            return f"the database {which} is away: {reason.removeprefix(NO_CONNECTION)}. Check DATABASE_URL and the server."
        return f"the database refused: {reason}. Check DATABASE_URL and the server log."
    if isinstance(error, OSError) and error.errno not in ERRNOS_OF_CLICK:
        return reason
    return None


def counted(kinds: Iterable[str]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in sorted(Counter(kinds).items()))


def print_json(value: Any) -> None:
    """Print one JSON line, with times in the format of the HTTP API."""
    click.echo(to_json(value, bytes_mode="base64", inf_nan_mode="constants", fallback=str).decode())


@contextmanager
def progress_bar(what: str) -> Generator[Callable[[int, int], None]]:
    """Show the progress of long work, if stderr is a terminal."""
    from rich.console import Console  # noqa: PLC0415 - takes long to load
    from rich.progress import Progress  # noqa: PLC0415

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda position, until: progress.update(task, completed=position, total=until)


def operator_envelope() -> Envelope:
    """Return an envelope that names the user of this machine; each command is a request of its own."""
    try:
        user = getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        user = "unknown"
    return Envelope(actor=f"cli:{user}", via=Via.CLI, request_id=uuid.uuid4().hex)
