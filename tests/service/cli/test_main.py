"""Help, usage and expected failures of all commands."""

import re
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from service.cli.main import Commands, main
from service.config.settings import PREFIX
from service.schema.migrate import newest
from tests.servers.databases import ON_SQLITE
from tests.service.cli.conftest import Type

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), ROOT / "deploy/prometheus/alerts.yml"]
IN_TEXT_OR_A_BLOCK = re.compile(r"`mastertape ([^`\n]+)`|^(?:[A-Z_]+=\S+ )*mastertape (.+)$", re.MULTILINE)


@pytest.mark.parametrize("words", [[], ["verify"]])
def test_help_names_every_command_with_its_whole_summary(typed: Type, words: list[str]) -> None:
    group = main.commands[words[0]] if words else main
    assert isinstance(group, Commands)
    said = "".join(typed(*words, "--help").output.split())
    for command in group.commands.values():
        summary = str(command.help).partition(". ")[0]
        assert f"{command.name}{summary}".replace(" ", "") in said


def test_pages_name_only_commands_and_options_that_exist() -> None:
    written = [
        in_text or in_block
        for page in PAGES
        for in_text, in_block in IN_TEXT_OR_A_BLOCK.findall(page.read_text())
    ]
    assert len(written) > len(main.commands)
    assert [each for each in written if not exists(each)] == []


def test_pages_name_only_modules_and_developer_commands_that_exist() -> None:
    text = "".join(page.read_text() for page in (*PAGES, ROOT / "CONTRIBUTING.md"))
    modules = set(re.findall(r"python3? -m (\w[\w.]*\w)", text))
    assert {"tests.service.pages.http", "tests.golden.record"} <= modules
    assert [module for module in modules if find_spec(module) is None] == []
    commands = set(re.findall(r"\./dev (\w+)", text))
    assert commands >= {"demo", "test", "sbom"}
    usage = (ROOT / "dev").read_text()
    assert [command for command in commands if f"\n./dev {command} " not in usage] == []


def test_the_page_of_symptoms_quotes_what_is_printed() -> None:
    page = (ROOT / "docs/troubleshooting.md").read_text()
    quoted = re.findall(r'^\| "(.+?)" \|', page, re.MULTILINE)
    assert len(quoted) > 5
    source = "".join(file.read_text() for file in (ROOT / "src").rglob("*.py"))
    printed = re.sub(r"\{(\w+)\}", lambda name: name[1].upper(), re.sub(r'"\s+f?"', "", source))
    assert [each for each in quoted if each not in printed] == []


def exists(written: str) -> bool:
    """Whether the command line has this command, subcommand and options; what a comment says is not of them."""
    name, *words = re.sub("[][]", " ", written.partition(" #")[0]).split()
    if name not in main.commands:
        return False
    command = main.commands[name]
    if isinstance(command, click.Group) and words:
        if words[0] not in command.commands:
            return False
        command = command.commands[words[0]]
    known = {option for parameter in command.params for option in parameter.opts}
    return {word for word in words if word.startswith("--")} <= known


def test_a_relay_at_an_address_without_a_port_is_wrong_usage(typed: Type) -> None:
    assert typed("relay", "--host", "x").exit_code == 2


@ON_SQLITE
@pytest.mark.parametrize("args", [["rebuild"], ["verify", "projections"], ["history", "1"]])
def test_a_database_without_schema_is_reported_in_a_line(on_empty: Type, args: list[str]) -> None:
    result = on_empty(*args)
    assert result.exit_code == 1
    assert result.output == (
        f"Error: the database is empty, this version needs {newest()}: run `mastertape migrate`\n"
    )


@pytest.mark.parametrize("command", ["serve", "relay", "migrate"])
def test_expected_failures_are_a_line(typed: Type, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv(f"{PREFIX}PORT", "x")
    result = typed(command)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: MASTERTAPE_PORT: input should be a valid integer")


@pytest.mark.parametrize("command", ["serve", "relay", "migrate"])
def test_an_unreachable_database_is_reported_in_a_line(
    typed: Type, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv(f"{PREFIX}DATABASE_URL", "postgresql://a:hush@127.0.0.1:1/x")
    result = typed(command)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: the database postgresql+psycopg://a:***@127.0.0.1:1/x is away: ")
    assert (result.stderr.count("\n"), "hush" in result.stderr, result.stdout) == (1, False, "")


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
