"""What other programs know us by: routes' schemas, stored topics, commands, metrics and log events."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path

import click
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from click.testing import CliRunner

from eventstore.sql.database import Database
from eventstore.sql.schema import metadata
from service.cli.main import main
from service.schema.tables import is_compared
from tests.api.client import TestClient
from tests.api.world import World

SRC = Path(__file__).parents[2] / "src"
TOPICS = Path(__file__).parents[1] / "golden" / "topics.txt"
LEVELS = {"debug", "info", "warning", "error", "exception", "log"}
READING = ("status", "failures", "jobs", "verify projections", "verify media", "plan", "history")
"""The commands with --json that change nothing, and say nothing of the machine or of its network."""
WIDTH = {"COLUMNS": "100"}


def names(world: World, client: TestClient, track_id: int) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each dump."""
    yield "openapi.json", json.dumps(world.app.openapi(), indent=1, sort_keys=True)
    yield "schema.txt", "\n".join(map(str, difference(world.database)))
    yield "topics.txt", TOPICS.read_text()
    yield "metrics.txt", metrics(client)
    yield "log_events.txt", "".join(f"{name}\n" for name in sorted(set(log_events())))
    yield from helps(main, ["mastertape"])
    for words in READING:
        asked = [*words.split(), "--json", *([str(track_id)] if words == "history" else [])]
        answer = CliRunner().invoke(main, asked, catch_exceptions=False)
        yield f"commands/{words.replace(' ', '_')}.json", f"exit {answer.exit_code}\n{answer.stdout}"


def difference(database: Database) -> list[object]:
    with database.read() as connection:
        options = {"compare_type": True, "compare_server_default": True, "include_object": is_compared}
        return list(compare_metadata(MigrationContext.configure(connection, opts=options), metadata))


def metrics(client: TestClient) -> str:
    told = client.get("/metrics").text.splitlines()
    return "\n".join(sorted(line for line in told if line.startswith("# TYPE")))


def log_events() -> Iterator[str]:
    """Yield the first argument of each call of a logger."""
    for file in SRC.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and node.func.attr in LEVELS
            ):
                texts = [each.value for each in node.args if isinstance(each, ast.Constant)]
                yield from (text for text in texts if isinstance(text, str))


def helps(command: click.Command, path: list[str]) -> Iterator[tuple[str, str]]:
    """Yield the help of a command and of those below it."""
    answer = CliRunner(env=WIDTH).invoke(main, [*path[1:], "--help"])
    yield f"help/{'_'.join(path)}.txt", answer.output
    if isinstance(command, click.Group):
        for name, each in command.commands.items():
            yield from helps(each, [*path, name])
