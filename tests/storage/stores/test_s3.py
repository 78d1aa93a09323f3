import io
from datetime import UTC, datetime, timedelta

import pytest

from storage.cid import cid_of, new_key
from storage.errors import BytesMissingError, StoreUnavailableError
from storage.stores.s3 import PRIVATE, PUBLIC, S3Store
from tests.servers.plain_http import reply, serving
from tests.servers.s3 import S3Endpoint

pytestmark = pytest.mark.s3
KEY = new_key(cid_of(b"data"))


def write(store: S3Store) -> None:
    store.write(KEY, io.BytesIO(b"data"), 4, "audio/mpeg")


def test_a_public_copy_is_there_from_publish_to_unpublish(s3_store: S3Store) -> None:
    write(s3_store)
    name = f"{cid_of(b'data')}.mp3"
    s3_store.publish(KEY, name, "audio/mpeg")
    assert list(s3_store.published()) == [name]
    assert list(s3_store.published(name[:9])) == [name]
    assert list(s3_store.published("x")) == []
    assert s3_store.public_address == "https://media.example/public"
    head = s3_store._client.head_object(Bucket=s3_store.bucket, Key=f"public/{name}")  # noqa: SLF001
    assert (head["ContentLength"], head["ContentType"]) == (4, "audio/mpeg")
    s3_store.unpublish(name)
    s3_store.unpublish(name)
    assert list(s3_store.published()) == []
    assert s3_store.size(KEY) == 4


def test_a_public_copy_of_several_parts_is_whole(s3_store: S3Store) -> None:
    data = bytes(9 * 2**20)
    key = new_key(cid_of(data))
    s3_store.write(key, io.BytesIO(data), len(data), "audio/wav")
    s3_store.publish(key, "large.wav", "audio/wav")
    head = s3_store._client.head_object(Bucket=s3_store.bucket, Key="public/large.wav")  # noqa: SLF001
    assert head["ContentLength"] == len(data)


def test_public_copies_are_not_media(s3_store: S3Store) -> None:
    write(s3_store)
    s3_store.publish(KEY, KEY, "audio/mpeg")
    s3_store.delete(KEY)
    assert list(s3_store.stored()) == []


def test_publishing_bytes_that_are_not_there_says_so(s3_store: S3Store) -> None:
    with pytest.raises(BytesMissingError):
        s3_store.publish(KEY, "a.mp3", "audio/mpeg")


@pytest.mark.parametrize("prefix", [PRIVATE, PUBLIC])
def test_a_multipart_upload_that_died_goes_when_it_is_old(s3_store: S3Store, prefix: str) -> None:
    client = s3_store._client  # noqa: SLF001
    upload = client.create_multipart_upload(Bucket=s3_store.bucket, Key=prefix + KEY)
    client.upload_part(
        Bucket=s3_store.bucket, Key=prefix + KEY, UploadId=upload["UploadId"], PartNumber=1, Body=b"x"
    )
    assert list(s3_store.stored()) == []
    assert s3_store.discard_unfinished(datetime.now(UTC) - timedelta(hours=1)) == 0
    assert s3_store.discard_unfinished(datetime.now(UTC) + timedelta(hours=1)) == 1
    assert s3_store.discard_unfinished(datetime.now(UTC) + timedelta(hours=1)) == 0


def test_a_wrong_secret_is_an_unavailable_store_not_missing_media(
    s3_endpoint: S3Endpoint, s3_store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(s3_store)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    stranger = S3Store(s3_store.bucket, endpoint=s3_endpoint.url)
    with pytest.raises(StoreUnavailableError):
        stranger.read(KEY)
    with pytest.raises(StoreUnavailableError):
        stranger.size(KEY)


@pytest.mark.usefixtures("s3_bucket")
def test_a_missing_bucket_is_an_unavailable_store(s3_endpoint: S3Endpoint) -> None:
    with pytest.raises(StoreUnavailableError):
        write(S3Store("no-such-bucket", endpoint=s3_endpoint.url))


@pytest.mark.usefixtures("s3_bucket")
def test_a_server_that_ignores_ranges_is_not_believed() -> None:
    with (
        serving(lambda handler: reply(handler, 200, b"0123456789")) as port,
        pytest.raises(StoreUnavailableError, match="ignores ranges"),
    ):
        S3Store("bucket", endpoint=f"http://127.0.0.1:{port}").read(KEY, 2, 4)
