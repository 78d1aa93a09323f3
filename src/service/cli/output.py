"""What the command line shows: tables and bars for people, JSON for machines, errors in one line."""

import errno
import json
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

import click
from rich.console import Console
from rich.progress import Progress
from sqlalchemy.exc import DBAPIError

from eventstore.errors import EventStoreError
from identity.errors import IdentityError
from outbox.operations.operators import OperatorError
from projections.scratch import OvertakenError
from replay.errors import ReplayError
from service.migrate import OutdatedSchemaError
from service.settings import SettingsError
from storage.errors import StorageError

DRIFT: Final = 3
"""The exit code of a check that has found something."""

EXPECTED: Final = (
    SettingsError,
    OutdatedSchemaError,
    EventStoreError,
    IdentityError,
    OperatorError,
    OvertakenError,
    ReplayError,
    StorageError,
)

as_json = click.option("--json", "as_json", is_flag=True, help="Answer with JSON on stdout.")
dry_run = click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing.")


class Commands(click.Group):
    """Commands whose expected failures are a line on stderr and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except EXPECTED as error:
            raise click.ClickException(str(error)) from error
        except DBAPIError as error:
            reason = str(error.orig).strip().splitlines() or ["no reason given"]
            raise click.ClickException(
                f"the database refused: {reason[0]}. Check DATABASE_URL and the server log."
            ) from error
        except OSError as error:
            if error.errno in {None, errno.EPIPE}:  # click ends quietly where nobody reads on
                raise
            where = f"{error.filename}: " if error.filename else ""
            raise click.ClickException(f"{where}{error.strerror}") from error


def say_json(value: Any) -> None:
    """Write one JSON line, with times as HTTP writes them."""
    click.echo(json.dumps(value, default=_as_text, ensure_ascii=False))


def _as_text(value: object) -> str:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else str(value)


@contextmanager
def bar(what: str) -> Generator[Callable[[int, int], None]]:
    """Show how far long work has come, where somebody is looking."""
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(what, total=None)
        yield lambda position, until: progress.update(task, completed=position, total=until)
