"""Commands on the log: their output and exit codes."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text

from devpds.server import free_port
from service.cli.commands import Deferred
from service.cli.main import COMMANDS, main
from service.config.settings import PREFIX
from service.schema.migrate import newest
from service.wiring.bootstrap import Container
from tests.service.command_line import run

Type = Callable[..., Result]


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Type:
    """Type a command, on data of this test."""
    monkeypatch.setenv(f"{PREFIX}DATA", str(tmp_path / "data"))
    return lambda *args: CliRunner().invoke(main, args)


@pytest.fixture
def on_tape(typed: Type, tape: Container, monkeypatch: pytest.MonkeyPatch) -> Type:
    """Type a command, on a database with a track in it."""
    monkeypatch.setenv(f"{PREFIX}DATABASE_URL", tape.settings.database_url)
    return typed


@pytest.fixture
def on_empty(typed: Type, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Type:
    """Type a command, on a database without a schema."""
    monkeypatch.setenv(f"{PREFIX}DATABASE_URL", database_url)
    return typed


def spoil(container: Container) -> None:
    with container.database.write() as connection:
        connection.execute(text("update tracks set title = 'spoilt'"))
        connection.execute(text("delete from history where version = 1"))


def test_help_names_every_command(typed: Type) -> None:
    said = typed("--help").output
    for command in ("serve", "relay", "migrate", "rebuild", "verify", "history"):
        assert f"\n  {command} " in said


@pytest.mark.parametrize("command", COMMANDS, ids=lambda each: each.name)
def test_help_of_a_command_begins_with_its_summary(typed: Type, command: Deferred) -> None:
    result = typed(str(command.name), "--help")
    assert result.exit_code == 0
    assert str(command.help) in " ".join(result.output.split())


@pytest.mark.parametrize(
    "args", [["rebuild", "nothing"], ["history", "one"], ["history"], ["verify", "x"], ["record"]]
)
def test_wrong_usage_is_2(typed: Type, args: list[str]) -> None:
    assert typed(*args).exit_code == 2


def test_migrate(on_empty: Type) -> None:
    assert on_empty("migrate", "--dry-run").output == f"empty -> {newest()} (not written)\n"
    assert json.loads(on_empty("migrate", "--json").output) == {
        "before": None,
        "after": newest(),
        "written": True,
    }
    assert on_empty("migrate").output == f"the schema is at {newest()} already\n"


@pytest.mark.parametrize("args", [["rebuild"], ["verify", "projections"], ["history", "1"]])
def test_a_database_without_schema_is_reported_in_a_line(on_empty: Type, args: list[str]) -> None:
    result = on_empty(*args)
    assert result.exit_code == 1
    assert result.output == (
        f"Error: the database is empty, this version needs {newest()}: run `mastertape migrate`\n"
    )


def test_verify_finds_no_difference_in_current_read_models(on_tape: Type, tape: Container) -> None:
    result = on_tape("verify", "projections")
    assert result.exit_code == 0
    assert result.output == f"{len(tape.log.projections)} projections agree with the log\n"
    assert json.loads(on_tape("verify", "projections", "--json").output) == {"differences": []}


def test_verify_names_what_differs_and_exits_with_3(on_tape: Type, tape: Container) -> None:
    spoil(tape)
    result = on_tape("verify", "projections")
    assert result.exit_code == 3
    assert "tracks track_id=1: changed title is 'spoilt', not 'Second'" in result.output
    assert "history: 1 rows differ" in result.output
    result = on_tape("verify", "projections", "--json")
    assert result.exit_code == 3
    found = {each["table"]: each["kind"] for each in json.loads(result.output)["differences"]}
    assert found == {"tracks": "changed", "history": "missing"}


def test_verify_without_a_part_verifies_all_of_them(on_tape: Type, tape: Container) -> None:
    for path in (tape.settings.data / "media").rglob("bafk*"):
        path.unlink()
    result = on_tape("verify", "--json")
    parts = [next(iter(json.loads(line))) for line in result.stdout.splitlines()]
    assert (result.exit_code, parts) == (3, ["differences", "repos", "findings"])
    assert on_tape("verify", "--json", "projections").exit_code == 2


def test_times_for_machines_are_written_as_http_writes_them(on_tape: Type) -> None:
    row = json.loads(on_tape("history", "1", "--json").output.splitlines()[0])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", row["at"])


def test_rebuild_corrects_what_differs(on_tape: Type, tape: Container) -> None:
    spoil(tape)
    assert on_tape("rebuild", "--dry-run").output == "history: 1 rows differ\ntracks: 1 rows differ\n"
    assert on_tape("verify", "projections").exit_code == 3
    result = on_tape("rebuild", "--json")
    assert result.exit_code == 0
    answer = json.loads(result.output)
    assert answer["written"]
    assert answer["rows"] == {"tracks": 1, "history": 1}
    assert on_tape("rebuild").output == "nothing differed\n"
    assert on_tape("verify", "projections").exit_code == 0


def test_rebuild_of_one_leaves_the_others(on_tape: Type, tape: Container) -> None:
    spoil(tape)
    assert on_tape("rebuild", "history").output == "history: 1 rows corrected\n"
    found = json.loads(on_tape("verify", "projections", "--json").output)["differences"]
    assert [each["table"] for each in found] == ["tracks"]


def test_rebuild_names_what_there_is(on_tape: Type, tape: Container) -> None:
    names = ", ".join(projection.name for projection in tape.log.projections)
    assert f"there is no projection 'x'; there are {names}" in on_tape("rebuild", "x").output


def test_history_shows_actor_change_time_and_delivery(on_tape: Type) -> None:
    rows: list[dict[str, Any]] = [
        json.loads(line) for line in on_tape("history", "1", "--json").output.splitlines()
    ]
    assert [(row["version"], row["type"], row["actor"], row["via"]) for row in rows] == [
        (1, "Created", "artist", "test"),
        (2, "MetadataUpdated", "artist", "test"),
    ]
    assert rows[1]["changes"] == [{"field": "title", "before": "Track 1", "after": "Second"}]
    assert rows[1]["delivery"]["status"] == "parked"
    said = on_tape("history", "1").output
    assert (
        "MetadataUpdated by artist via test; on the PDS: parked\n    title: 'Track 1' -> 'Second'\n" in said
    )
    assert "features" not in said


def test_history_of_no_track(on_tape: Type) -> None:
    result = on_tape("history", "2")
    assert (result.exit_code, result.output) == (1, "Error: there is no track 2\n")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"PORTT": "1"}, "MASTERTAPE_PORTT is not a setting; did you mean MASTERTAPE_PORT?"),
        ({"PORT": "x"}, "MASTERTAPE_PORT: input should be a valid integer"),
    ],
)
@pytest.mark.parametrize("command", ["serve", "relay", "migrate"])
def test_expected_failures_are_a_line(
    typed: Type, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], sentence: str, command: str
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(PREFIX + name, value)
    result = typed(command)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {sentence}")


@pytest.mark.parametrize("command", ["serve", "relay", "migrate"])
def test_an_unreachable_database_is_reported_in_a_line(tmp_path: Path, command: str) -> None:
    result = run(command, DATA=tmp_path, PORT=free_port(), DATABASE_URL="postgresql://a:hush@127.0.0.1:1/x")
    assert result.returncode == 1
    assert result.stderr.startswith("Error: the database refused: connection failed")
    assert "Traceback" not in result.stderr
    assert "hush" not in result.stderr
    assert not result.stdout


def test_an_unusable_folder_is_reported_in_a_line(
    on_tape: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = on_tape("export", str(tmp_path / "none" / "tape"))
    assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)
    assert refused.stderr.endswith("tape.part: No such file or directory\n")
    (tmp_path / "file").touch()
    monkeypatch.setenv(f"{PREFIX}DATA", str(tmp_path / "file" / "data"))
    refused = on_tape("verify", "projections")
    assert (refused.exit_code, refused.stderr.count("\n")) == (1, 1)
    assert "file/data: Not a directory" in refused.stderr


def test_the_log_is_exported_and_imported(
    on_tape: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = str(tmp_path / "tape")
    assert json.loads(on_tape("export", file, "--json").output)["lines"] > 3
    monkeypatch.setenv(f"{PREFIX}DATABASE_URL", f"sqlite:///{tmp_path / 'new.db'}")
    on_tape("migrate")
    assert on_tape("import", file, "--dry-run").output.endswith("the file is intact\n")
    assert on_tape("import", file).output.endswith("imported; everybody has to sign in again\n")
    assert on_tape("verify", "projections").exit_code == 0
    assert "Second" in on_tape("history", "1").output
    again = on_tape("import", file)
    assert (again.exit_code, "holds something already" in again.output) == (1, True)


def test_an_export_replaces_no_device_and_writes_through_a_link(on_tape: Type, tmp_path: Path) -> None:
    os.mkfifo(pipe := tmp_path / "pipe")
    refused = on_tape("export", str(pipe))
    assert (refused.exit_code, "is not a regular file" in refused.stderr, pipe.is_fifo()) == (2, True, True)
    (link := tmp_path / "link").symlink_to(tmp_path / "tape")
    assert on_tape("export", str(link)).exit_code == 0
    assert link.is_symlink()
    assert (tmp_path / "tape").stat().st_size > 0


def test_a_missing_or_broken_tape_is_reported_in_a_line(on_tape: Type, tmp_path: Path) -> None:
    assert on_tape("import", str(tmp_path / "none")).exit_code == 2
    (tmp_path / "bad").write_text("{}\n")
    refused = on_tape("import", str(tmp_path / "bad"))
    assert refused.exit_code == 1
    assert refused.output.startswith("Error: line 1: ")
