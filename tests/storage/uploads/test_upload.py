import itertools
import resource
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage.cid import cid_of
from storage.errors import StoreUnavailableError, TooLargeError
from storage.uploads.upload import discard_abandoned, staged_copy


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_stream_is_staged_counted_and_hashed(tmp_path: Path) -> None:
    with staged_copy([b"so", b"und"], tmp_path, 100) as staged:
        assert (staged.cid, staged.size) == (cid_of(b"sound"), 5)
        with staged.open() as file:
            assert file.read() == b"sound"
    assert files(tmp_path) == []


def test_a_stream_that_never_ends_is_stopped_at_the_limit(tmp_path: Path) -> None:
    taken = itertools.count()
    with pytest.raises(TooLargeError) as caught:
        staged_copy((bytes(10) for _ in taken), tmp_path, 100)
    assert (caught.value.limit, next(taken)) == (100, 11)
    assert files(tmp_path) == []


def test_a_stream_that_breaks_leaves_nothing_behind(tmp_path: Path) -> None:
    def breaking() -> Iterator[bytes]:
        yield b"half"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        staged_copy(breaking(), tmp_path, 100)
    assert files(tmp_path) == []


def test_what_a_crash_left_goes_when_it_is_old(tmp_path: Path) -> None:
    staged_copy([b"so", b"und"], tmp_path, 100)
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
            staged_copy([bytes(size)], tmp_path, size)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert files(tmp_path) == []
