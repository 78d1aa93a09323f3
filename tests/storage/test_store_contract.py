"""The contract of every store: memory, disk, and an S3 gateway that checks signatures."""

import io
import itertools

import pytest

from storage.cid import cid_of, new_key
from storage.errors import BytesDamagedError, BytesMissingError, RangeOutsideError
from storage.stores.store import CHUNK_BYTES, MediaStore
from tests.media_samples import samples

DATA = b"0123456789"


def stored(store: MediaStore, data: bytes = DATA) -> str:
    key = new_key(cid_of(data))
    store.write(key, io.BytesIO(data), len(data), "audio/mpeg")
    return key


def listed(store: MediaStore) -> set[str]:
    return {entry.key for entry in store.stored()}


def test_what_was_written_is_read_back(store: MediaStore) -> None:
    key = stored(store)
    assert b"".join(store.read(key)) == DATA
    assert store.size(key) == len(DATA)


@pytest.mark.parametrize(
    ("start", "end", "part"),
    [(0, 4, b"0123"), (3, 5, b"34"), (9, None, b"9"), (5, 99, b"56789"), (2, None, b"23456789")],
)
def test_a_range_gives_just_those_bytes(store: MediaStore, start: int, end: int | None, part: bytes) -> None:
    assert b"".join(store.read(stored(store), start, end)) == part


@pytest.mark.parametrize(("start", "end"), [(10, None), (99, 100), (4, 4), (5, 3), (-1, 3)])
def test_a_range_outside_the_bytes_is_refused_at_once(store: MediaStore, start: int, end: int | None) -> None:
    key = stored(store)
    with pytest.raises(RangeOutsideError):
        store.read(key, start, end)


def test_media_of_several_parts_arrives_whole(store: MediaStore) -> None:
    data = samples.noise(10 * 2**20)
    key = stored(store, data)
    assert b"".join(store.read(key)) == data
    assert b"".join(store.read(key, 7 * 2**20, 9 * 2**20)) == data[7 * 2**20 : 9 * 2**20]


def test_a_reader_may_stop_in_the_middle(store: MediaStore) -> None:
    key = stored(store, samples.noise(4 * CHUNK_BYTES))
    assert list(itertools.islice(store.read(key), 1))
    store.delete(key)
    assert store.size(key) is None


def test_missing_bytes_raise_at_once(store: MediaStore) -> None:
    key = new_key(cid_of(b"never written"))
    assert store.size(key) is None
    with pytest.raises(BytesMissingError):
        store.read(key)


def test_deleting_removes_and_deleting_again_is_fine(store: MediaStore) -> None:
    key = stored(store)
    store.delete(key)
    store.delete(key)
    assert store.size(key) is None
    assert listed(store) == set()


@pytest.mark.parametrize("size", [9, 10, 11])
def test_bytes_that_are_not_those_of_the_key_leave_nothing_behind(store: MediaStore, size: int) -> None:
    key = new_key(cid_of(DATA))
    with pytest.raises(BytesDamagedError):
        store.write(key, io.BytesIO(b"something else"[:size]), size, "audio/mpeg")
    assert store.size(key) is None
    assert listed(store) == set()


def test_a_source_shorter_than_promised_leaves_nothing_behind(store: MediaStore) -> None:
    key = new_key(cid_of(DATA))
    with pytest.raises(BytesDamagedError):
        store.write(key, io.BytesIO(DATA), len(DATA) + 1, "audio/mpeg")
    assert store.size(key) is None


def test_a_source_that_fails_leaves_nothing_behind(store: MediaStore) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:  # noqa: ARG002
            raise ConnectionResetError

    key = new_key(cid_of(DATA))
    with pytest.raises(Exception):  # noqa: B017, PT011 - whatever the source raised, or its translation
        store.write(key, Failing(), len(DATA), "audio/mpeg")
    assert store.size(key) is None


def test_all_copies_are_listed_with_their_time(store: MediaStore) -> None:
    keys = {stored(store, bytes([number])) for number in range(5)}
    assert listed(store) == keys
    assert all(entry.modified.tzinfo is not None for entry in store.stored())
