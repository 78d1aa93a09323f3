"""Parts of uploads: they are put together in their order, and of two at one offset one is entered."""

from pathlib import Path

import pytest

from eventstore.sql.schema import metadata
from storage.errors import OffsetMismatchError
from storage.media import Media
from storage.uploads.staged_uploads import (
    Upload,
    append_part,
    begin_upload,
    find_upload,
    received_bytes,
    release_upload,
)
from storage.uploads.upload import staged_copy

ALICE, RELEASE = "did:plc:alice", 1


@pytest.fixture
def media(storage: Media) -> Media:
    metadata.create_all(storage.database.engine, [release_upload])
    return storage


@pytest.fixture
def upload(media: Media) -> Upload:
    with media.database.write() as connection:
        now = media.database.now(connection)
        begin_upload(connection, ALICE, RELEASE, "upload", name="song.mp3", length=None, now=now)
        return find_upload(connection, ALICE, RELEASE, "upload", now=now)


def append(media: Media, upload: Upload, data: bytes, offset: int, folder: Path) -> Upload:
    with staged_copy([data], folder, len(data)) as staged:
        return append_part(media, upload, offset, staged)


def test_parts_are_put_together_in_their_order(media: Media, upload: Upload, tmp_path: Path) -> None:
    data = [bytes([number]) * 300_000 for number in range(3)]
    for number, part in enumerate(data):
        upload = append(media, upload, part, 300_000 * number, tmp_path)
    assert upload.received == 900_000
    assert b"".join(received_bytes(media, upload)) == b"".join(data)


def test_equal_parts_are_stored_once_and_entered_each(media: Media, upload: Upload, tmp_path: Path) -> None:
    for offset in (0, 10, 20):
        upload = append(media, upload, b"0123456789", offset, tmp_path)
    assert len(list(media.store.stored())) == 1
    assert b"".join(received_bytes(media, upload)) == b"0123456789" * 3


def test_of_two_parts_at_one_offset_the_second_is_not_entered(
    media: Media, upload: Upload, tmp_path: Path
) -> None:
    begun = append(media, upload, b"first", 0, tmp_path)
    with pytest.raises(OffsetMismatchError) as refused:
        append(media, upload, b"second", 0, tmp_path)
    assert refused.value.offset == len(b"first")
    assert b"".join(received_bytes(media, begun)) == b"first"
