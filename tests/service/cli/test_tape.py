"""`mastertape export` and `import`."""

import json
import os
from pathlib import Path

import pytest

from service.config.settings import PREFIX
from tests.servers.databases import ON_SQLITE
from tests.service.cli.conftest import Type

pytestmark = ON_SQLITE  # what matters here is what is said


def test_the_log_is_exported_and_imported(
    on_tape: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = str(tmp_path / "tape")
    assert json.loads(on_tape("export", file, "--json").output)["lines"] > 3
    monkeypatch.setenv(f"{PREFIX}DATABASE_URL", f"sqlite:///{tmp_path / 'new.db'}")
    on_tape("migrate")
    assert on_tape("import", file, "--dry-run").output.endswith("the file is intact\n")
    assert on_tape("import", file, "--yes").output.endswith("imported; every account has to sign in again\n")
    assert on_tape("verify", "projections").exit_code == 0
    assert "Second" in on_tape("history", "1").output
    again = on_tape("import", file, "--yes")
    assert (again.exit_code, "holds something already" in again.output) == (1, True)


def test_an_export_replaces_no_device_and_writes_through_a_link(on_tape: Type, tmp_path: Path) -> None:
    os.mkfifo(pipe := tmp_path / "pipe")
    refused = on_tape("export", str(pipe))
    assert (refused.exit_code, "is not a regular file" in refused.stderr, pipe.is_fifo()) == (2, True, True)
    (link := tmp_path / "link").symlink_to(tmp_path / "tape")
    assert on_tape("export", str(link)).exit_code == 0
    assert link.is_symlink()
    assert (tmp_path / "tape").stat().st_size > 0


def test_an_export_to_a_full_disk_says_so_and_what_to_do(on_tape: Type, tmp_path: Path) -> None:
    (tmp_path / "tape.part").symlink_to("/dev/full")
    refused = on_tape("export", str(tmp_path / "tape"))
    assert refused.exit_code == 1
    assert refused.stderr == (
        f"Error: a disk is full ({tmp_path}/tape.part: No space left on device). `mastertape doctor` says which: make room "
        "and run it again. Nothing acknowledged is lost.\n"
    )
    assert not (tmp_path / "tape").exists()


@pytest.mark.parametrize("command", ["export", "import"])
def test_what_would_be_replaced_is_kept_until_it_is_agreed_to(
    on_tape: Type, tmp_path: Path, command: str
) -> None:
    (file := tmp_path / "tape").write_text("an older one")
    refused = on_tape(command, str(file))
    assert (refused.exit_code, "Nothing was done; say --yes" in refused.stderr) == (2, True)
    assert file.read_text() == "an older one"


def test_a_missing_or_broken_tape_is_reported_in_a_line(on_tape: Type, tmp_path: Path) -> None:
    assert on_tape("import", str(tmp_path / "none")).exit_code == 2
    (tmp_path / "bad").write_text("{}\n")
    refused = on_tape("import", str(tmp_path / "bad"), "--yes")
    assert refused.exit_code == 1
    assert refused.output.startswith("Error: line 1: ")
