"""What tracks name and the bytes that are there are compared; what is lost comes back from an artist's PDS."""

import asyncio
import io
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import delete

from identity.resolution.address_policy import AddressPolicy
from replay.media import MediaFinding, MediaKind, MediaRepair, check_media
from service.config.settings import Settings
from storage.cid import cid_of
from storage.media import Media, media
from storage.stores.store import MediaStore
from tests.api.client import TestClient
from tests.api.world import World, upload
from tests.fake_pds.scripted_pds import HOST
from tests.media_samples import samples

GRACE = timedelta(days=30)


ON_DISK = ("disk", "migrated_sqlite")
PLACES = [
    ON_DISK,
    pytest.param(("disk", "migrated_postgres"), marks=pytest.mark.postgres),
    pytest.param(("s3", "migrated_sqlite"), marks=pytest.mark.s3),
]
EVERYWHERE = pytest.mark.parametrize("stored", PLACES, ids="-".join, indirect=True)


@pytest.fixture(params=[ON_DISK], ids="-".join)
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    place, database = request.param
    settings: dict[str, Any] = {"data": tmp_path / "data", "database_url": request.getfixturevalue(database)}
    if place == "s3":
        bucket, endpoint = request.getfixturevalue("s3_bucket"), request.getfixturevalue("s3_endpoint")
        settings |= {"media": f"s3:{bucket}", "s3_endpoint": endpoint.url}
    made = World(Settings(**settings))
    yield made
    asyncio.run(made.made.close())


@pytest.fixture
def client(stored: World) -> Iterator[TestClient]:
    with TestClient(stored.app) as made:
        yield made


@pytest.fixture
def track(stored: World, client: TestClient) -> dict[str, Any]:
    return upload(client, stored.sign_in("alice"), image=samples.png())


def found(world: World, *, deep: bool = False) -> list[MediaFinding]:
    return list(check_media(world.made.media, GRACE, deep=deep))


def key_of(world: World, cid: str) -> str:
    live = world.made.media.find(cid)
    assert live is not None
    return live.key


class Lying:
    """A store that holds other bytes under some keys: no real one can be made to."""

    def __init__(self, store: MediaStore, bytes_of: dict[str, bytes]) -> None:
        self._store, self._bytes_of = store, bytes_of

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def size(self, key: str) -> int | None:
        return len(self._bytes_of[key]) if key in self._bytes_of else self._store.size(key)

    def read(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        return iter([self._bytes_of[key]]) if key in self._bytes_of else self._store.read(key, start, end)


@pytest.mark.usefixtures("track")
def test_where_all_is_there_nothing_is_found(stored):
    assert found(stored, deep=True) == []


@EVERYWHERE
def test_bytes_that_are_gone_are_missing_with_the_tracks_that_name_them(stored, track):
    key = key_of(stored, track["file_id"])
    stored.made.media.store.delete(key)
    [one] = found(stored)
    assert (one.kind, one.cid, one.key) == (MediaKind.MISSING, track["file_id"], key)
    assert one.track_ids == (track["id"],)
    with stored.database.write() as connection:
        connection.execute(delete(media).where(media.c.key == key))
    [one] = found(stored)
    assert (one.kind, one.cid, one.key) == (MediaKind.MISSING, track["file_id"], None)
    assert one.track_ids == (track["id"],)


def test_bytes_of_another_length_or_content_are_found(stored, track):
    key = key_of(stored, track["file_id"])
    whole = b"".join(stored.made.media.store.read(key))
    for content, kind in ((whole[:-1], MediaKind.WRONG_SIZE), (whole[:-1] + b"?", MediaKind.DAMAGED)):
        lying = Media(stored.database, Lying(stored.made.media.store, {key: content}))
        [one] = check_media(lying, GRACE, deep=True)
        assert (one.kind, one.key, one.size) == (kind, key, len(content))
    assert list(check_media(lying, GRACE)) == []


@pytest.mark.usefixtures("track")
def test_what_no_track_names_is_no_finding(stored):
    alone = b"named by nothing"
    stored.made.media.add(cid_of(alone), io.BytesIO(alone), len(alone), "audio/mpeg")
    stored.made.media.store.delete(key_of(stored, cid_of(alone)))
    assert found(stored) == []


def test_what_may_be_undeleted_is_named_still(stored, client, track):
    alice = stored.sign_in("alice")
    client.delete(f"/tracks/{track['id']}", headers=alice.headers)
    assert found(stored) == []
    stored.made.media.store.delete(key_of(stored, track["file_id"]))
    assert [each.kind for each in found(stored)] == [MediaKind.MISSING]


def repaired(world: World, finding: MediaFinding, blob: bytes) -> bool:
    asked: list[httpx.URL] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        return httpx.Response(200, content=blob)

    async def repair() -> bool:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            policy = AddressPolicy([HOST])
            made = world.made
            repair = MediaRepair(made.media, http, policy, made.settings.data, made.hosts)
            return await repair.repair(finding)

    done = asyncio.run(repair())
    assert asked[0].params["cid"] == finding.cid
    return done


@EVERYWHERE
def test_what_is_lost_comes_back_from_the_blob_of_its_artist_and_only_with_its_cid(stored, client, track):
    whole = samples.mp3(1)
    assert cid_of(whole) == track["file_id"]
    stored.made.media.store.delete(key_of(stored, track["file_id"]))
    [one] = found(stored)
    assert not repaired(stored, one, whole[:-1] + b"?")
    assert found(stored) == [one]
    assert repaired(stored, one, whole)
    assert found(stored, deep=True) == []
    assert client.get(f"/audio/{track['file_id']}.mp3").content == whole


def test_what_is_damaged_is_replaced(stored, track):
    key = key_of(stored, track["file_id"])
    lying = Media(stored.database, Lying(stored.made.media.store, {key: b"?" * len(samples.mp3(1))}))
    [one] = check_media(lying, GRACE, deep=True)
    assert repaired(stored, one, samples.mp3(1))
    assert key_of(stored, track["file_id"]) != key
    assert found(stored, deep=True) == []
