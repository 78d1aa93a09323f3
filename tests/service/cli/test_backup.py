"""`mastertape backup` and `restore`."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import pytest
from sqlalchemy import Table, make_url, update

from eventstore.restore_detection import POSITIONS_SKIPPED
from outbox.mirror.tables import mirror_lane
from projections.read_models import READ_MODELS
from replay.backup.manifest import MANIFEST, MediaIncluded
from replay.backup.take import Source, back_up
from service.config.settings import PREFIX
from service.schema.migrate import newest
from service.schema.tables import metadata
from service.wiring.bootstrap import Container
from storage.cid import cid_of
from tests.dsl import a_track
from tests.servers.databases import ON_SQLITE, temporary_database
from tests.service.cli.conftest import Type
from tests.service.conftest import save

BYTES = b"the bytes of a track"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backups" / "first"


@pytest.fixture
def served(tape: Container, on_tape: Type, monkeypatch: pytest.MonkeyPatch) -> Type:
    """Type a command on a database with a track, whose bytes are stored."""
    monkeypatch.setenv(f"{PREFIX}SECRET_KEYS", "k" * 32)
    add(tape, BYTES)
    with tape.database.write() as connection:
        connection.execute(update(mirror_lane).values(host="https://pds.music.com"))
    return on_tape


@pytest.fixture
def elsewhere(tape: Container, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of an empty database of the same kind."""
    if tape.database.is_sqlite:
        yield f"sqlite:///{tmp_path}/new/mastertape.db"
        return
    with temporary_database(request.getfixturevalue("postgres_url")) as url:
        yield url


def add(tape: Container, data: bytes) -> None:
    tape.media.add(cid_of(data), BytesIO(data), len(data), "audio/mpeg")


def history(typed: Type) -> list[object]:
    rows = map(json.loads, typed("history", "1", "--json").stdout.splitlines())
    return [(row["position"], row["type"], row["changes"]) for row in rows]


def stop(tape: Container) -> None:
    tape.database.close()


def test_a_restored_database_is_as_it_was_and_sends_nothing_before_it_is_verified(
    served: Type, tape: Container, folder: Path
) -> None:
    said = served("backup", str(folder)).stdout
    assert "SECRET_KEYS (a setting): without it every login in the database is lost" in said
    before = history(served)
    track = a_track(2)
    save(tape, track)
    stop(tape)
    restored = json.loads(served("restore", str(folder), "--yes", "--json").stdout)
    assert (restored["position"], restored["recovery"]["accounts"]) == (2, 1)
    assert restored["recovery"]["next_position"] > POSITIONS_SKIPPED
    assert (history(served), served("history", "2").exit_code) == (before, 1)
    assert served("verify", "projections").exit_code == 0
    assert served("recovered", "--if-noticed").stdout.startswith("no restore was noticed; 1 accounts wait")


def test_a_backup_is_restored_on_an_empty_machine_with_its_media(
    served: Type, folder: Path, elsewhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = json.loads(served("backup", str(folder), "--media", "copy", "--json").stdout)
    assert (made["media_count"], made["media_bytes"], made["lost_media"]) == (1, len(BYTES), [])
    before = history(served)
    new = folder.parents[1] / "new"
    monkeypatch.setenv(f"{PREFIX}DATA", str(new))
    monkeypatch.setenv(f"{PREFIX}DATABASE_URL", elsewhere)
    assert "the database is empty" in served("restore", str(folder), "--dry-run").stdout
    restored = served("restore", str(folder))
    assert (restored.exit_code, "1 media were added, 0 are not" in restored.stdout) == (0, True)
    assert history(served) == before
    assert [file.read_bytes() for file in (new / "media").glob("*/*")] == [BYTES]


def test_nothing_is_replaced_unasked_or_under_a_running_process_or_by_a_damaged_backup(
    served: Type, tape: Container, folder: Path
) -> None:
    served("backup", str(folder))
    before = history(served)
    asked = served("restore", str(folder))
    assert (asked.exit_code, "This replaces every event and row" in asked.stderr) == (2, True)
    with tape.database.read():
        used = served("restore", str(folder), "--yes")
    assert (used.exit_code, "stop every serve and relay" in used.stderr) == (1, True)
    stop(tape)
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != MANIFEST]
    largest = max(files, key=lambda file: file.stat().st_size)
    largest.write_bytes(largest.read_bytes()[:-1] + b"?")
    damaged = served("restore", str(folder), "--yes")
    assert (damaged.exit_code, f"{largest} is damaged" in damaged.stderr) == (1, True)
    assert history(served) == before


@pytest.mark.parametrize("migrated_url", ["postgres"], indirect=True)
def test_a_dump_is_of_one_snapshot(served: Type, tape: Container, folder: Path) -> None:
    def with_an_edit_between() -> Iterator[Table]:
        first, *others = metadata.sorted_tables
        yield first
        with ThreadPoolExecutor(1) as another:
            another.submit(save, tape, a_track(2)).result()
        yield from others

    source = Source(tape.database, with_an_edit_between(), "0", newest(), "disk:media", ())
    manifest, _ = back_up(source, folder, MediaIncluded.LISTED, None, lambda _done, _of: None)
    stop(tape)
    assert manifest.position == 2
    assert served("restore", str(folder), "--yes").exit_code == 0
    assert f"{len(READ_MODELS) + 2} projections agree" in served("verify", "projections").stdout
    assert served("history", "2").exit_code == 1


@ON_SQLITE
def test_a_later_backup_shares_the_media_of_an_earlier_one(
    served: Type, tape: Container, folder: Path
) -> None:
    served("backup", str(folder), "--media", "copy")
    add(tape, b"more")
    served("backup", str(folder.with_name("second")), "--media", "copy")
    files = sorted(file.stat().st_nlink for file in folder.with_name("second").glob("media/*/*"))
    assert files == [1, 2]
    again = served("backup", str(folder))
    assert (again.exit_code, "was left as it is" in again.stderr) == (1, True)


@ON_SQLITE
def test_bytes_that_are_lost_before_the_backup_are_reported(
    served: Type, tape: Container, folder: Path
) -> None:
    for file in (tape.settings.data / "media").glob("*/*"):
        file.unlink()
    made = served("backup", str(folder), "--media", "link")
    assert (made.exit_code, "verify media --repair" in made.stderr) == (3, True)


@ON_SQLITE
def test_a_bucket_is_listed_and_not_copied(
    served: Type, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{PREFIX}MEDIA", "s3:tapes")
    assert served("backup", str(folder), "--media", "copy").exit_code == 2
    assert "1 media, 20 bytes: listed; back up s3:tapes" in served("backup", str(folder)).stdout


@ON_SQLITE
def test_a_damaged_database_is_replaced(served: Type, tape: Container, folder: Path) -> None:
    before = history(served)
    served("backup", str(folder))
    stop(tape)
    Path(str(make_url(tape.settings.database_url).database)).write_bytes(b"no database" * 1000)
    assert served("restore", str(folder), "--yes").exit_code == 0
    assert history(served) == before


@ON_SQLITE
def test_a_backup_of_a_newer_version_or_another_kind_of_database_is_refused(
    served: Type, tape: Container, folder: Path
) -> None:
    served("backup", str(folder))
    stop(tape)
    manifest = folder / MANIFEST
    written = json.loads(manifest.read_text())
    for change, sentence in (
        ({"schema": "9999"}, "restore it with that version or a newer one"),
        ({"dialect": "postgresql"}, "`mastertape export` and `import` lead from one to the other"),
    ):
        manifest.write_text(json.dumps(written | change))
        refused = served("restore", str(folder), "--yes")
        assert (refused.exit_code, sentence in refused.stderr) == (1, True)
