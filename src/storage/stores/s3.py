"""Media in an S3 bucket: private copies under `media/`, public copies under `public/`."""

import os
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from itertools import chain
from typing import TYPE_CHECKING, BinaryIO, Final, cast

import boto3
from boto3.exceptions import Boto3Error
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError

from storage.cid import CidHasher, cid_of_key, is_key
from storage.errors import (
    BytesDamagedError,
    BytesMissingError,
    RangeOutsideError,
    StorageError,
    StoreUnavailableError,
)
from storage.stores.store import CHUNK_BYTES, StoredKey, with_first_chunk

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

PRIVATE: Final = "media/"
PUBLIC: Final = "public/"
# One part at a time: an upload of any size takes the memory of one part.
TRANSFER: Final = TransferConfig(
    multipart_threshold=8 * 2**20, multipart_chunksize=8 * 2**20, use_threads=False
)
PARTIAL_CONTENT: Final = 206
MAX_KEPT_CONNECTIONS: Final = 32
"""As many as there are threads that read and write; more may be open, and are closed after use."""


class S3Store:
    """A MediaStore and, with `public_base`, public copies. boto3 finds the credentials."""

    def __init__(self, bucket: str, *, endpoint: str | None = None, public_base: str | None = None) -> None:
        self.bucket = bucket
        self.public_base = public_base.rstrip("/") if public_base else None
        self._client = _client(endpoint)

    def write(self, key: str, source: BinaryIO, size: int, mime: str) -> None:
        """Upload, and hash what is sent: the tested servers did not refuse a wrong checksum."""
        sent = _HashingReader(source)
        with _s3_errors(key):
            self._client.upload_fileobj(
                cast("BinaryIO", sent), self.bucket, PRIVATE + key, {"ContentType": mime}, Config=TRANSFER
            )
        if (sent.hasher.cid, sent.hasher.size, self.size(key)) != (cid_of_key(key), size, size):
            self.delete(key)
            raise BytesDamagedError(key)

    def read(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Stream the object; a whole object is requested without a range."""
        return with_first_chunk(self._chunks(key, start, end))

    def _chunks(self, key: str, start: int, end: int | None) -> Iterator[bytes]:
        if start < 0 or (end is not None and end <= start):
            raise RangeOutsideError(key)
        ranged = start > 0 or end is not None
        with _s3_errors(key):
            if ranged:
                last = "" if end is None else end - 1
                answer = self._client.get_object(
                    Bucket=self.bucket, Key=PRIVATE + key, Range=f"bytes={start}-{last}"
                )
            else:
                answer = self._client.get_object(Bucket=self.bucket, Key=PRIVATE + key)
            with closing(answer["Body"]) as body:
                if ranged and answer["ResponseMetadata"]["HTTPStatusCode"] != PARTIAL_CONTENT:
                    raise StoreUnavailableError("the S3 server ignores ranges")
                yield from body.iter_chunks(CHUNK_BYTES)

    def size(self, key: str) -> int | None:
        try:
            with _s3_errors(key):
                return self._client.head_object(Bucket=self.bucket, Key=PRIVATE + key)["ContentLength"]
        except BytesMissingError:
            return None

    def delete(self, key: str) -> None:
        """Delete one object: not every server supports deleting several."""
        cid_of_key(key)
        with _s3_errors():
            self._client.delete_object(Bucket=self.bucket, Key=PRIVATE + key)

    def stored(self) -> Iterator[StoredKey]:
        for name, modified in self._list(PRIVATE):
            if is_key(name):
                yield StoredKey(name, modified)

    def discard_unfinished(self, before: datetime) -> int:
        """Abort multipart uploads that began before then."""
        count = 0
        with _s3_errors():
            uploads = self._client.get_paginator("list_multipart_uploads")
            pages = (uploads.paginate(Bucket=self.bucket, Prefix=each) for each in (PRIVATE, PUBLIC))
            for page in chain.from_iterable(pages):
                for upload in page.get("Uploads", ()):
                    if upload["Initiated"] < before:
                        self._client.abort_multipart_upload(
                            Bucket=self.bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                        )
                        count += 1
        return count

    def publish(self, key: str, name: str, mime: str) -> None:
        """Copy within the bucket, without downloading."""
        # Caches must revalidate each time: a track that is gated later must not be served from them.
        facts = {"ContentType": mime, "CacheControl": "public, no-cache", "MetadataDirective": "REPLACE"}
        with _s3_errors(key):
            self._client.copy(
                {"Bucket": self.bucket, "Key": PRIVATE + key},
                self.bucket,
                PUBLIC + name,
                facts,
                Config=TRANSFER,
            )

    def unpublish(self, name: str) -> None:
        with _s3_errors():
            self._client.delete_object(Bucket=self.bucket, Key=PUBLIC + name)

    def published(self, beginning: str = "") -> Iterator[str]:
        return (beginning + name for name, _ in self._list(PUBLIC + beginning))

    @property
    def public_address(self) -> str:
        """The URL of the public folder; S3_PUBLIC_URL is the URL of the bucket."""
        if self.public_base is None:
            raise StorageError("S3_PUBLIC_URL is not set")
        return f"{self.public_base}/{PUBLIC.rstrip('/')}"

    def _list(self, prefix: str) -> Iterator[tuple[str, datetime]]:
        with _s3_errors():
            for page in self._client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket, Prefix=prefix
            ):
                for entry in page.get("Contents", ()):
                    yield entry["Key"].removeprefix(prefix), entry["LastModified"].astimezone(UTC)


class _HashingReader:
    """Has no `seek`, so that the transfer reads forward only and each byte is hashed once."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self.hasher = CidHasher()

    def read(self, size: int = -1) -> bytes:
        chunk = self._source.read(size)
        self.hasher.update(chunk)
        return chunk


def _client(endpoint: str | None) -> "S3Client":
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    # Not the default session, which all users of boto3 in this process share.
    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint,
        region_name=region or ("us-east-1" if endpoint else None),
        config=Config(
            signature_version="s3v4",
            connect_timeout=5,
            read_timeout=30,
            max_pool_connections=MAX_KEPT_CONNECTIONS,
            retries={"total_max_attempts": 4, "mode": "standard"},
            s3={"addressing_style": "path" if endpoint else "auto"},
        ),
    )


@contextmanager
def _s3_errors(key: str | None = None) -> Generator[None]:
    try:
        yield
    except ClientError as exc:
        code = exc.response.get("Error", {}).get("Code", "")
        if key is not None and code in {"404", "NoSuchKey", "NotFound"}:
            raise BytesMissingError(key) from None
        if code in {"416", "InvalidRange"}:
            raise RangeOutsideError(key) from None
        raise StoreUnavailableError(code or str(exc)) from exc
    except (BotoCoreError, Boto3Error, HTTPClientError) as exc:
        raise StoreUnavailableError(str(exc)) from exc
