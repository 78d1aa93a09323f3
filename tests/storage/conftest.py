"""Databases with the media table, and every kind of store."""

import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from sqlalchemy import event

from eventstore.sql.database import Database
from eventstore.sql.schema import metadata
from storage.media import Media, media
from storage.stores.disk import DiskStore
from storage.stores.s3 import S3Store
from storage.stores.store import MediaStore
from storage.taken_down import taken_down_bytes
from tests.eventstore.threads import until
from tests.servers.s3 import S3Endpoint
from tests.storage.memory_store import MemoryStore
from tests.storage.public.public_rig import Rig
from tests.storage.references import names


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    if database.is_sqlite:  # no test here is about durable commits
        event.listen(database.engine, "connect", lambda raw, _: raw.execute("PRAGMA synchronous=OFF").close())
    metadata.create_all(database.engine, [media, taken_down_bytes])
    names.create(database.engine)
    yield database
    database.close()


@pytest.fixture
def memory() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def storage(database: Database, memory: MemoryStore) -> Media:
    return Media(database, memory)


@pytest.fixture
def rig(migrated_url: str) -> Iterator[Rig]:
    made = Rig(migrated_url)
    yield made
    until(lambda: not any(each.name == "publisher-change" for each in threading.enumerate()))
    made.database.close()


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def moto_store(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> S3Store:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    bucket = f"b{uuid.uuid4().hex[:12]}"
    boto3.client("s3", endpoint_url=moto_url).create_bucket(Bucket=bucket)
    return S3Store(bucket, endpoint=moto_url, public_base="https://media.example/")


@pytest.fixture
def gateway_store(s3_endpoint: S3Endpoint, s3_bucket: str) -> S3Store:
    return S3Store(s3_bucket, endpoint=s3_endpoint.url, public_base="https://media.example/")


@pytest.fixture
def disk_store(tmp_path: Path) -> DiskStore:
    return DiskStore(tmp_path / "media")


@pytest.fixture(
    params=["memory", "disk_store", "moto_store", pytest.param("gateway_store", marks=pytest.mark.s3)]
)
def store(request: pytest.FixtureRequest) -> MediaStore:
    chosen: MediaStore = request.getfixturevalue(request.param)
    return chosen


@pytest.fixture(params=["moto_store", pytest.param("gateway_store", marks=pytest.mark.s3)])
def s3_store(request: pytest.FixtureRequest) -> S3Store:
    chosen: S3Store = request.getfixturevalue(request.param)
    return chosen
