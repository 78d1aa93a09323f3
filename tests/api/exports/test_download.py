"""The archive over HTTP: any range of it is what the whole has there, in any process, whatever was edited since."""

import random
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from sqlalchemy import select, update

from eventstore.jobs.table import job
from projections.media_references import media_references
from replay.derived import sweep_media
from replay.exports import EXPORT_TTL, export_file
from storage.media import media
from tests.api.account_deletion.deletion import is_deleted, live_media
from tests.api.exports.making import ask, fetch, made, opened, report, work
from tests.api.world import refusal, upload
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE

GRACE = timedelta(days=1)


@pytest.fixture
def export(world, client, alice):
    for seed in (1, 2):
        upload(client, alice, title=f"Song {seed}", seed=seed, image=samples.png(400 * seed, 300))
    return made(world, client, alice)


@ON_SQLITE
def test_every_range_at_a_boundary_is_what_the_whole_has_there(client, alice, export):
    whole = fetch(client, alice, export).content
    archive = opened(fetch(client, alice, export))
    ends = {0, len(whole), archive.start_dir}
    for info in archive.infolist():
        data = info.header_offset + 30 + len(info.filename.encode())
        ends |= {info.header_offset, data, data + info.file_size}
    places = sorted({end + by for end in ends for by in (-1, 0, 1) if 0 <= end + by < len(whole)})
    chosen = random.Random(32)  # noqa: S311 - a test's choice
    pairs = [*pairwise(places), *(sorted(chosen.sample(places, 2)) for _ in range(60))]
    for first, last in pairs:
        part = fetch(client, alice, export, Range=f"bytes={first}-{last}")
        assert (part.status_code, part.content) == (206, whole[first : last + 1])
        assert part.headers["content-range"] == f"bytes {first}-{last}/{len(whole)}"
    rest = fetch(client, alice, export, Range=f"bytes={places[3]}-")
    assert rest.content == whole[places[3] :]
    assert fetch(client, alice, export, Range="bytes=-22").content == whole[-22:]


@ON_SQLITE
def test_its_etag_lets_a_client_go_on_with_the_same_bytes_alone(client, alice, export):
    whole = fetch(client, alice, export)
    etag = whole.headers["etag"]
    assert fetch(client, alice, export, **{"If-None-Match": etag}).status_code == 304
    part = {"Range": "bytes=5-9"}
    assert fetch(client, alice, export, **part, **{"If-Range": etag}).content == whole.content[5:10]
    other = fetch(client, alice, export, **part, **{"If-Range": '"other"'})
    assert (other.status_code, other.content) == (200, whole.content)
    outside = fetch(client, alice, export, Range=f"bytes={export['size']}-")
    assert refusal(outside) == (416, "range_not_satisfiable")
    assert outside.headers["content-range"] == f"bytes */{export['size']}"


@ON_SQLITE
def test_head_says_what_get_would_send(client, alice, export):
    for headers in ({}, {"Range": "bytes=5-9"}):
        told = client.head(export["url"], headers={**alice.headers, **headers})
        got = fetch(client, alice, export, **headers)
        assert (told.status_code, told.content) == (got.status_code, b"")
        for name in ("content-length", "etag", "accept-ranges", "content-type", "content-disposition"):
            assert told.headers[name] == got.headers[name]
    assert told.headers["cache-control"] == "private, no-cache"
    assert told.headers["content-disposition"].startswith("attachment; filename*=UTF-8''alice.test%20")


def test_tracks_that_are_deleted_meanwhile_stay_in_it_until_it_expires(world, client, alice, export):
    whole, kept = fetch(client, alice, export).content, {*world.scalars(select(export_file.c.cid))}
    for track in client.get("/me/tracks", headers=alice.headers).json()["items"]:
        assert client.delete(f"/tracks/{track['id']}", headers=alice.headers).status_code == 200
    a_month_later(world)
    sweep_media(world.made.media, GRACE)
    assert kept <= {*live_media(world)}
    assert fetch(client, alice, export).content == whole
    with world.database.write() as connection:
        expired = world.database.now(connection) - EXPORT_TTL
        connection.execute(update(job).where(job.c.kind == "export").values(ended_at=expired))
    sweep_media(world.made.media, GRACE)
    assert kept.isdisjoint(live_media(world))
    assert refusal(fetch(client, alice, export)) == (404, "not_found")
    assert report(client, alice)["state"] == "idle"
    assert world.rows(export_file.select()) == []


def a_month_later(world):
    """Nothing was touched, reserved or named since."""
    with world.database.write() as connection:
        long_ago = world.database.now(connection) - timedelta(days=60)
        connection.execute(update(media).values(touched_at=long_ago, reserved_at=None))
        ended = media_references.c.released_at.is_not(None)
        connection.execute(update(media_references).where(ended).values(released_at=long_ago))


@ON_SQLITE
def test_it_is_its_owners_alone_and_a_newer_one_takes_its_place(world, client, alice, bob, export):
    assert refusal(fetch(client, bob, export)) == (404, "not_found")
    assert client.get(export["url"]).status_code == 401
    ask(client, alice)
    assert refusal(fetch(client, alice, export)) == (404, "not_found")
    work(world, alice)
    newer = report(client, alice)
    assert newer["url"] != export["url"]
    assert opened(fetch(client, alice, newer)).testzip() is None
    assert refusal(fetch(client, alice, export)) == (404, "not_found")


@ON_SQLITE
def test_one_that_is_being_made_says_so(client, alice):
    ask(client, alice)
    requested_at = datetime.fromisoformat(report(client, alice)["requested_at"])
    url = f"/me/exports/{int(requested_at.timestamp() * 1000)}.zip"
    assert refusal(client.get(url, headers=alice.headers)) == (409, "export_under_way")


@pytest.mark.usefixtures("export")
def test_the_account_takes_it_along_when_it_leaves(world, client, alice):
    world.deliver()
    is_deleted(world, client, alice)
    assert world.rows(export_file.select()) == []
    world.execute(update(media).values(reserved_at=None))
    sweep_media(world.made.media, timedelta(days=30))
    assert live_media(world) == []


@ON_SQLITE
def test_it_ends_with_its_token(world, client, alice, export, monkeypatch):
    token = client.post("/auth/tokens", json={"name": "other"}, headers=alice.headers).json()
    whole = fetch(client, alice, export).content
    read, begun = world.made.media.store.read, []

    def revoked_at_first(key, start=0, end=None):
        if not begun:
            begun.append(client.delete(f"/auth/tokens/{token['id']}", headers=alice.headers))
        return read(key, start, end)

    monkeypatch.setattr(world.made.media.store, "read", revoked_at_first)
    cut = client.get(export["url"], headers={"Authorization": f"Bearer {token['token']}"}).content
    assert 0 < len(cut) < len(whole)
    assert whole.startswith(cut)


@ON_SQLITE
def test_bytes_that_the_store_has_lost_are_an_error_where_a_range_begins_with_them(
    world, client, alice, export
):
    whole = fetch(client, alice, export).content
    begin = whole.index(samples.mp3(1)) + 10
    for stored in list(world.made.media.store.stored()):
        world.made.media.store.delete(stored.key)
    assert refusal(fetch(client, alice, export, Range=f"bytes={begin}-")) == (404, "media_not_found")
