"""Covers in the sizes that pages show: made at upload, kept for five minutes by caches, and swept with their cover."""

import asyncio
import io
from datetime import timedelta

import httpx
import pytest
from PIL import Image
from sqlalchemy import delete, select

from identity.resolution.address_policy import AddressPolicy
from replay.derived import sweep_media
from replay.media import MediaKind, MediaRepair, check_media
from storage.derived.renditions import rendition
from storage.media import media
from tests.api.world import refusal, upload
from tests.media_samples import samples
from tests.replay.adoption.rig import ELSEWHERE, Internet, adopt_all, adoption_on
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE

GRACE = timedelta(0)


@pytest.fixture
def track(client, alice):
    return upload(client, alice, image=samples.png(1500, 1000))


def cover(track):
    return "/artwork/" + track["image_url"].rsplit("/", 1)[1]


def shown(answer):
    assert answer.status_code == 200
    with Image.open(io.BytesIO(answer.content)) as image:
        return answer.headers["content-type"], image.size


def forget_renditions(world):
    """As if the cover had been uploaded before there were any."""
    world.execute(delete(rendition))


def test_each_size_of_a_cover_is_served_and_kept(client, track):
    for size, pixels in ((96, (96, 96)), (480, (480, 320)), (1200, (1200, 800))):
        answer = client.get(cover(track), params={"size": size})
        assert shown(answer) == ("image/webp", pixels)
        assert answer.headers["cache-control"] == "public, max-age=300"
        again = client.get(
            cover(track), params={"size": size}, headers={"if-none-match": answer.headers["etag"]}
        )
        assert again.status_code == 304
        of_track = client.get(f"/tracks/{track['id']}/artwork", params={"size": size})
        assert (of_track.content, of_track.headers["etag"]) == (answer.content, answer.headers["etag"])
        assert of_track.headers["cache-control"] == "public, max-age=300"
    assert shown(client.get(cover(track))) == ("image/png", (1500, 1000))
    assert shown(client.get(f"/tracks/{track['id']}/artwork")) == ("image/png", (1500, 1000))


def test_an_unknown_size_is_refused(client, track):
    for path in (cover(track), f"/tracks/{track['id']}/artwork"):
        for size in ("0", "481", "-1", "99999999999999999999"):
            assert refusal(client.get(path, params={"size": size})) == (400, "invalid_field"), size


def test_a_cover_from_before_is_shown_itself_until_the_worker_has_made_its_renditions(world, client, track):
    forget_renditions(world)
    for path in (cover(track), f"/tracks/{track['id']}/artwork"):
        answer = client.get(path, params={"size": 480})
        assert shown(answer) == ("image/png", (1500, 1000))
        assert answer.headers["cache-control"] == "public, max-age=300"
    assert world.rows(select(rendition)) == []
    asyncio.run(world.made.worker.run_once())
    assert shown(client.get(cover(track), params={"size": 480})) == ("image/webp", (480, 320))


@pytest.fixture
def asked(monkeypatch):
    """What the service asks of other hosts, each of which answers with a cover."""
    addresses = []

    async def answer(_, request):
        addresses.append(str(request.url))
        return httpx.Response(200, content=samples.png(1500, 1000))

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", answer)
    return addresses


def adopted(world, folder, url):
    """Adopt a record that names a cover at this address, where no host answered."""
    internet = Internet()
    internet.record(1, imageUrl=url)

    async def adopt():
        async with internet.client() as http:
            return await adopt_all(adoption_on(world.log, world.made.media, http, folder))

    assert asyncio.run(adopt()).adopted == 1


def test_a_request_for_an_adopted_cover_asks_no_host_and_the_worker_does(world, client, asked, tmp_path):
    url = f"{ELSEWHERE}/cover.png"
    adopted(world, tmp_path / "staging", url)
    (track,) = client.get("/tracks").json()["items"]
    address = f"/tracks/{track['id']}/artwork"
    for path in (address, f"{address}?size=480"):
        assert refusal(client.get(path)) == (404, "artwork_not_found")
    assert asked == []
    asyncio.run(world.made.worker.run_once())
    assert shown(client.get(f"{address}?size=480")) == ("image/webp", (480, 320))
    assert asked == [url]


def test_the_cover_of_a_track_is_public_as_the_track_is(client, alice, track):
    bare = upload(client, alice, seed=2)
    assert refusal(client.get(f"/tracks/{bare['id']}/artwork")) == (404, "artwork_not_found")
    assert refusal(client.get("/tracks/999/artwork")) == (404, "track_not_found")
    client.delete(f"/tracks/{track['id']}", headers=alice.headers)
    assert refusal(client.get(f"/tracks/{track['id']}/artwork?size=480")) == (404, "track_not_found")
    assert refusal(client.get(cover(track) + "?size=480")) == (404, "media_not_found")


def test_renditions_are_swept_with_their_cover_and_not_before(world, client, alice, bob, track):
    other = upload(client, bob, seed=2, image=samples.png(1500, 1000))
    for gone, left in ((track, 5), (other, 0)):
        owner = alice if gone is track else bob
        client.delete(f"/tracks/{gone['id']}", headers=owner.headers)
        sweep_media(world.made.media, GRACE)
        with world.database.read() as connection:
            found = connection.scalars(select(media.c.mime)).all()
            assert len(connection.execute(select(rendition)).all()) == (3 if left else 0)
        assert len(found) == left
    assert list(world.made.media.store.stored()) == []


def test_renditions_are_no_finding_and_a_lost_one_is_made_again(world, client, track):
    storage = world.made.media
    assert list(check_media(storage, GRACE, deep=True)) == []
    cid = world.scalars(select(rendition.c.cid).where(rendition.c.size == 480))[0]
    storage.store.delete(storage.find(cid).key)
    (found,) = check_media(storage, GRACE)
    assert (found.kind, found.cid, found.track_ids) == (MediaKind.MISSING, cid, (track["id"],))
    staging, hosts = world.services.staging, world.made.hosts
    repair = MediaRepair(storage, httpx.AsyncClient(), AddressPolicy(), staging, hosts)
    assert asyncio.run(repair.repair(found))
    asyncio.run(world.made.worker.run_once())
    assert list(check_media(storage, GRACE, deep=True)) == []
    assert shown(client.get(cover(track), params={"size": 480})) == ("image/webp", (480, 320))
