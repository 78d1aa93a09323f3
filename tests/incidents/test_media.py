"""Bytes: only the sweep deletes them, and only those that no track names any more."""

from datetime import timedelta

import pytest

from replay.derived.sweep import sweep_media
from tests.api.world import refusal, upload
from tests.media_samples import samples


def sees(client, url):
    """The status of what a stranger gets at an address of ours."""
    return client.get("/" + url.split("/", 3)[3]).status_code


def sweeps(world, *, grace=timedelta(0)):
    """A sweep after the grace period; gives how many copies it deleted."""
    return sweep_media(world.made.media, grace).deleted


def stored(world):
    """How many copies of whatever bytes lie in the store."""
    return len(list(world.made.media.store.stored()))


@pytest.fixture
def deletes(world, monkeypatch):
    """The keys that were deleted from the store."""
    seen, store = [], world.made.media.store
    delete = store.delete
    monkeypatch.setattr(store, "delete", lambda key: (seen.append(key), delete(key)))
    return seen


def test_inc_05_an_upload_that_is_refused_takes_nothing_from_the_track_with_the_same_bytes(
    client, world, alice, deletes
):
    track = upload(client, alice, seed=1)

    again = {"file": ("song.mp3", samples.mp3(1), "audio/mpeg")}
    answer = client.post("/tracks", data={"title": "Again"}, files=again, headers=alice.headers)

    assert refusal(answer) == (409, "duplicate_audio")
    assert sees(client, track["audio_url"]) == 200
    assert deletes == []
    assert sweeps(world) == 0
    assert sees(client, track["audio_url"]) == 200


def test_inc_06_a_cover_that_two_tracks_share_goes_with_neither_of_them_alone(client, world, alice, bob):
    one, two, other = (
        upload(client, person, seed=seed, image=samples.png())
        for seed, person in enumerate((alice, alice, bob))
    )
    assert one["image_url"] == two["image_url"] == other["image_url"]

    client.patch(f"/tracks/{one['id']}", json={"remove_image": True}, headers=alice.headers)
    client.delete(f"/tracks/{two['id']}", headers=alice.headers)
    sweeps(world)

    assert sees(client, other["image_url"]) == 200
    client.delete(f"/tracks/{other['id']}", headers=bob.headers)
    assert sweeps(world) > 0
    assert sees(client, other["image_url"]) == 404


def test_inc_21_an_edit_that_is_refused_has_removed_nothing(client, world, alice, deletes):
    track = upload(client, alice, image=samples.png())
    before = world.state()

    body = {"remove_image": True, "tags": ["x" * 51]}
    answer = client.patch(f"/tracks/{track['id']}", json=body, headers=alice.headers)

    assert refusal(answer) == (400, "invalid_field")
    assert answer.json()["detail"]["field"] == "tags"
    assert world.state() == before
    assert (deletes, sweeps(world)) == ([], 0)
    assert sees(client, track["image_url"]) == 200


def test_inc_36_a_record_keeps_the_address_of_its_cover_when_the_store_has_lost_that(client, world, alice):
    track = upload(client, alice, image=samples.png())
    world.deliver()
    store = world.made.media.store
    for each in list(store.stored()):
        store.delete(each.key)
    assert sees(client, track["image_url"]) == 404

    client.patch(f"/tracks/{track['id']}", json={"title": "Second Thoughts"}, headers=alice.headers)
    world.deliver()

    assert world.record(track)["imageUrl"] == track["image_url"]
    assert client.get(f"/tracks/{track['id']}").json()["image_url"] == track["image_url"]


def test_inc_39_what_a_deleted_track_leaves_in_the_store_goes_after_the_grace_period(client, world, alice):
    """Gated audio, an earlier take, two covers and their renditions."""
    track = upload(client, alice, seed=1, image=samples.png())
    path = f"/tracks/{track['id']}"
    for body in ({"support_gate": {"type": "any"}}, {"title": "Second Thoughts"}):
        client.patch(path, json=body, headers=alice.headers)
    client.put(f"{path}/audio", files={"file": ("b.mp3", samples.mp3(2))}, headers=alice.headers)
    client.patch(path, files={"image": ("c.png", samples.png(color="gold"))}, headers=alice.headers)
    assert stored(world) == 8

    client.delete(path, headers=alice.headers)
    assert (sweeps(world, grace=timedelta(days=30)), stored(world)) == (0, 8)

    assert sweeps(world) == 8
    assert stored(world) == 0
