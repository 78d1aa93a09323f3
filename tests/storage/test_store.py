from pathlib import Path

import pytest

from storage.disk import DiskStore
from storage.s3 import S3Store
from storage.store import open_store


def test_a_path_in_data_lies_in_the_data_folder(tmp_path: Path) -> None:
    store = open_store("disk:DATA/media", tmp_path)
    assert isinstance(store, DiskStore)
    assert store.root == tmp_path / "media"


def test_s3_is_a_bucket_at_the_endpoint(tmp_path: Path) -> None:
    store = open_store("s3:tapes", tmp_path, "http://127.0.0.1:9", "http://cdn.example")
    assert isinstance(store, S3Store)
    assert (store.bucket, store.public_base) == ("tapes", "http://cdn.example")


@pytest.mark.parametrize("media", ["", "disk:", "s3:", "tape:reel", "/srv/media"])
def test_anything_else_is_refused(media: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="disk:PATH or s3:BUCKET"):
        open_store(media, tmp_path)
