"""Imports of a process: they take half of a start, so each process imports only the libraries of its own work."""

import gc
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import make_url

from service.cli.main import freeze_startup_objects
from tests.service.command_line import environment

LIBRARIES = "alembic atproto_core boto3 fastapi httpx pathlib PIL psycopg pydantic rich sqlalchemy"
PARSERS = "PIL tinytag numpy soundfile storage.formats"
"""Of bytes of strangers, which only a child process reads."""
RELAY = """
from service.cli import relay
relay.prepare(relay.load(), relay=True)
"""
SERVE = """
from service.cli import serve
serve.asgi(serve.prepare(serve.load(), relay=True))
"""


def command(*words: str) -> str:
    return f"from service.cli.main import main\nmain({list(words)}, standalone_mode=False)"


@pytest.mark.parametrize(
    ("work", "ends", "libraries"),
    [
        (command("rebuild", "--help"), "", LIBRARIES),
        (
            command("history", "1"),
            "click.exceptions.ClickException: there is no track 1",
            "alembic boto3 dns fastapi PIL psycopg starlette uvicorn websockets",
        ),
        (
            RELAY,
            "",
            f"alembic api.routers atproto_client boto3 opentelemetry.sdk psycopg rich uvicorn websockets {PARSERS}",
        ),
        (
            SERVE,
            "",
            f"alembic atproto_client boto3 jinja2 opentelemetry.sdk psycopg rich segno websockets {PARSERS}",
        ),
    ],
    ids=["help", "history", "relay", "serve"],
)
def test_a_process_loads_no_library_that_only_others_need(
    work: str, ends: str, libraries: str, migrated_sqlite: str
) -> None:
    loaded, complaint = loaded_by(work, migrated_sqlite)
    assert complaint == ends  # a command that fails earlier imports less
    assert loaded.isdisjoint(libraries.split())


def test_collection_is_enabled_again_even_after_a_failed_start() -> None:
    with pytest.raises(OSError, match="no such bucket"):
        start()
    assert gc.isenabled()


@freeze_startup_objects()
def start() -> None:
    assert not gc.isenabled()
    raise OSError("no such bucket")


def loaded_by(work: str, database_url: str) -> tuple[set[str], str]:
    """Do the work in a process of its own; give the modules that it ends with, and with what complaint it does."""
    script = f"import sys\ntry:\n  exec({work!r})\nfinally:\n  print('modules:', *sys.modules)"
    data = Path(str(make_url(database_url).database)).parent
    ended = subprocess.run(
        [sys.executable, "-c", script],
        env=environment({"DATABASE_URL": database_url, "DATA": data}),
        capture_output=True,
        text=True,
        check=False,
    )
    modules = set(ended.stdout.partition("modules: ")[2].split())
    return modules, (ended.stderr.splitlines() or [""])[-1]
