"""Help, usage and expected failures of all commands."""

from pathlib import Path

import pytest

from devpds.server import free_port
from service.cli.commands import Deferred
from service.cli.main import COMMANDS
from service.config.settings import PREFIX
from service.schema.migrate import newest
from tests.service.cli.conftest import Type
from tests.service.command_line import run


def test_help_names_every_command_with_its_whole_summary(typed: Type) -> None:
    said = "".join(typed("--help").output.split())
    for command in COMMANDS:
        assert f"{command.name}{command.help}".replace(" ", "") in said


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


@pytest.mark.parametrize("args", [["rebuild"], ["verify", "projections"], ["history", "1"]])
def test_a_database_without_schema_is_reported_in_a_line(on_empty: Type, args: list[str]) -> None:
    result = on_empty(*args)
    assert result.exit_code == 1
    assert result.output == (
        f"Error: the database is empty, this version needs {newest()}: run `mastertape migrate`\n"
    )


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
    assert result.stderr.startswith("Error: the database postgresql+psycopg://a:***@127.0.0.1:1/x is away: ")
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
