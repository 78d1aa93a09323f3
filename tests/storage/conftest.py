"""Databases with the media table, and every kind of store."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event

from eventstore.sql.database import Database
from eventstore.sql.schema import metadata
from storage.media import Media, media
from storage.stores.disk import DiskStore
from storage.stores.s3 import S3Store
from storage.stores.store import MediaStore
from storage.taken_down import taken_down_bytes
from tests.servers.s3 import S3Endpoint
from tests.storage.memory_store import MemoryStore
from tests.storage.public.public_rig import Rig
from tests.storage.references import names
from tests.waits import until


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


@pytest.fixture
def s3_store(s3_endpoint: S3Endpoint, s3_bucket: str) -> S3Store:
    return S3Store(s3_bucket, endpoint=s3_endpoint.url, public_base="https://media.example/")


@pytest.fixture
def disk_store(tmp_path: Path) -> DiskStore:
    return DiskStore(tmp_path / "media")


@pytest.fixture(params=["memory", "disk_store", pytest.param("s3_store", marks=pytest.mark.s3)])
def store(request: pytest.FixtureRequest) -> MediaStore:
    chosen: MediaStore = request.getfixturevalue(request.param)
    return chosen
