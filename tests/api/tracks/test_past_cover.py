"""The cover that a track had: its owner may see it while its bytes are kept."""

import io
from datetime import timedelta

import pytest
from PIL import Image

from replay.derived import sweep_media
from tests.api.tracks.takedown import decide
from tests.api.world import refusal, upload
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE


@pytest.fixture
def track(client, alice):
    """A track whose cover was replaced by its second version."""
    track = upload(client, alice, image=samples.png(600, 400))
    files = {"image": ("cover.png", samples.png(300, 300), "image/png")}
    client.patch(f"/tracks/{track['id']}", files=files, headers=alice.headers)
    return track


def then(client, person, track, version=1):
    return client.get(f"/tracks/{track['id']}?version={version}", headers=person.headers).json()


def see(client, track, person=None, *, version=1, **query):
    headers = person.headers if person else {}
    return client.get(f"/tracks/{track['id']}/artwork", params={"version": version, **query}, headers=headers)


def seen(answer):
    assert answer.status_code == 200, answer.text
    with Image.open(io.BytesIO(answer.content)) as image:
        return answer.headers["content-type"], image.size


def test_a_replaced_cover_is_shown_to_its_owner_in_each_size(world, client, alice, track):
    past = then(client, alice, track)
    sizes = {"image_url": ("image/png", (600, 400)), "thumbnail_url": ("image/webp", (96, 96))}
    for name, expected in sizes.items():
        answer = client.get(past[name].removeprefix(world.services.base_url), headers=alice.headers)
        assert seen(answer) == expected
        assert answer.headers["cache-control"] == "private, no-store"
    assert seen(see(client, track, alice, size=480)) == ("image/webp", (480, 320))


def test_the_cover_that_the_track_has_is_where_it_is_for_all(client, alice, track):
    assert then(client, alice, track, 2) == client.get(f"/tracks/{track['id']}").json()
    assert seen(see(client, track, alice, version=2)) == ("image/png", (300, 300))
    assert seen(client.get(f"/tracks/{track['id']}/artwork")) == ("image/png", (300, 300))


def test_a_removed_cover_is_kept_and_the_version_without_one_has_none(client, alice, track):
    client.patch(f"/tracks/{track['id']}", json={"remove_image": True}, headers=alice.headers)
    assert then(client, alice, track, 3)["image_url"] is None
    assert refusal(see(client, track, alice, version=3)) == (404, "artwork_not_found")
    assert seen(see(client, track, alice, version=2)) == ("image/png", (300, 300))


def test_a_swept_cover_is_gone_and_that_of_today_is_not(world, client, alice, track):
    sweep_media(world.made.media, timedelta(0))
    assert refusal(see(client, track, alice, size=480)) == (404, "media_not_found")
    assert seen(see(client, track, alice, version=2, size=480)) == ("image/webp", (300, 300))


def test_the_past_cover_is_for_the_owner_alone_even_of_a_deleted_track(client, alice, bob, track):
    assert refusal(see(client, track, bob)) == (403, "not_owner")
    client.delete(f"/tracks/{track['id']}", headers=alice.headers)
    assert seen(see(client, track, alice, version=2)) == ("image/png", (300, 300))
    assert refusal(see(client, track)) == (401, "not_authenticated")
    assert refusal(see(client, track, bob)) == (404, "track_not_found")


def test_the_past_cover_of_a_track_that_was_taken_down_is_for_admins(client, alice, track, admin):
    decide(client, admin, track)
    assert refusal(see(client, track, alice)) == (404, "media_not_found")
    assert seen(see(client, track, admin)) == ("image/png", (600, 400))
