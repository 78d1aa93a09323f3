import io
import resource
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage.cid import cid_of
from storage.errors import StoreUnavailableError, TooLargeError
from storage.upload import Staging, discard_abandoned
from tests.storage.staging import stage


class Endless(io.RawIOBase):
    """A stream that never ends, and counts the bytes read."""

    taken = 0

    def read(self, size: int = -1, /) -> bytes:
        self.taken += size
        return bytes(size)


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_stream_is_staged_counted_and_hashed(tmp_path: Path) -> None:
    with stage(io.BytesIO(b"sound"), tmp_path, 100) as staged:
        assert (staged.cid, staged.size) == (cid_of(b"sound"), 5)
        with staged.open() as file:
            assert file.read() == b"sound"
    assert files(tmp_path) == []


def test_a_file_of_just_the_limit_is_taken(tmp_path: Path) -> None:
    with stage(io.BytesIO(bytes(100)), tmp_path, 100) as staged:
        assert staged.size == 100


def test_a_stream_that_never_ends_is_stopped_at_the_limit(tmp_path: Path) -> None:
    endless = Endless()
    with pytest.raises(TooLargeError) as caught:
        stage(endless, tmp_path, 10 * 2**20)  # type: ignore[arg-type]
    assert caught.value.limit == 10 * 2**20
    assert endless.taken <= 11 * 2**20
    assert files(tmp_path) == []


def test_a_stream_that_breaks_leaves_nothing_behind(tmp_path: Path) -> None:
    class Breaking(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(size) or self.broken()

        def broken(self) -> bytes:
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        stage(Breaking(b"half"), tmp_path, 100)
    assert files(tmp_path) == []


def test_an_upload_can_come_chunk_by_chunk(tmp_path: Path) -> None:
    with Staging(tmp_path, 100) as staging:
        staging.write(b"so")
        staging.write(b"und")
        staged = staging.finish()
    with staged:
        assert staged.path.read_bytes() == b"sound"
    assert files(tmp_path) == []


def test_what_a_crash_left_goes_when_it_is_old(tmp_path: Path) -> None:
    stage(io.BytesIO(b"sound"), tmp_path, 100)
    assert discard_abandoned(tmp_path, datetime.now(UTC) - timedelta(hours=1)) == 0
    assert discard_abandoned(tmp_path, datetime.now(UTC) + timedelta(hours=1)) == 1
    assert files(tmp_path) == []


@pytest.mark.parametrize(
    "size", [2_000, 200_000], ids=["found as the file is closed", "found as it is written"]
)
def test_a_full_disk_has_its_own_error_and_leaves_no_file(tmp_path: Path, size: int) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, before[1]))
    try:
        with pytest.raises(StoreUnavailableError):
            stage(io.BytesIO(bytes(size)), tmp_path, size)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert files(tmp_path) == []
