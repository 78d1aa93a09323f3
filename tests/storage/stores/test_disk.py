import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage.cid import cid_of, new_key
from storage.errors import StoreUnavailableError
from storage.stores.disk import UNFINISHED, DiskStore

KEY = new_key(cid_of(b"data"))


def write(store: DiskStore) -> None:
    store.write(KEY, io.BytesIO(b"data"), 4, "audio/mpeg")


def test_a_new_process_finds_what_the_old_one_wrote(disk_store: DiskStore) -> None:
    write(disk_store)
    assert b"".join(DiskStore(disk_store.root).read(KEY)) == b"data"


def test_what_a_dead_write_left_is_no_media_and_goes_when_it_is_old(disk_store: DiskStore) -> None:
    write(disk_store)
    left = next(disk_store.root.rglob(KEY)).with_name(new_key(cid_of(b"dead")) + UNFINISHED)
    left.write_bytes(b"de")
    now = datetime.now(UTC)
    assert [entry.key for entry in disk_store.stored()] == [KEY]
    assert disk_store.discard_unfinished(now - timedelta(hours=1)) == 0
    assert disk_store.discard_unfinished(now + timedelta(hours=1)) == 1
    assert not left.exists()
    assert disk_store.size(KEY) == 4


def test_an_interrupted_write_leaves_no_file(disk_store: DiskStore) -> None:
    class Interrupted(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:  # noqa: ARG002
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        disk_store.write(KEY, Interrupted(), 4, "audio/mpeg")
    assert [path for path in disk_store.root.rglob("*") if path.is_file()] == []


def test_foreign_files_in_the_folder_are_left_alone(disk_store: DiskStore) -> None:
    write(disk_store)
    foreign = next(disk_store.root.rglob(KEY)).with_name("notes.txt")
    foreign.write_text("mine")
    disk_store.discard_unfinished(datetime.now(UTC) + timedelta(days=1))
    assert [entry.key for entry in disk_store.stored()] == [KEY]
    assert foreign.exists()


def test_an_unwritable_disk_is_an_unavailable_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StoreUnavailableError):
        write(DiskStore(tmp_path / "file"))
