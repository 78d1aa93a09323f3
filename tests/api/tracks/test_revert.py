"""Reverting a track, or some of its fields, to an earlier version."""

import pytest
from sqlalchemy import update

from eventstore.streams.ids import next_subject_id
from storage.media import media
from tests.api.world import refusal, replace_audio, upload
from tests.dsl import an_adopted_track
from tests.media_samples import samples
from tests.outbox.rigs.relay_rig import ARTIST
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE

SHOWN = (
    "title", "album", "features", "tags", "description", "support_gate", "unlisted", "downloads", "self_labels",
    "file_id", "image_url", "thumbnail_url",
)  # fmt: skip


@pytest.fixture
def track(client, alice):
    """A track of which everything has changed since its first version."""
    track = upload(
        client, alice, title="old", album="one", tags=["a"], description="words", image=samples.png()
    )
    path = f"/tracks/{track['id']}"
    changes = {
        "title": "new",
        "album": "",
        "tags": ["b"],
        "description": "",
        "unlisted": True,
        "downloads": "off",
    }
    client.patch(path, json={**changes, "remove_image": True}, headers=alice.headers)
    replace_audio(client, alice, track)
    client.patch(path, json={"support_gate": {"type": "any"}}, headers=alice.headers)
    return track


def revert(client, person, track, **body):
    return client.post(f"/tracks/{track['id']}/revert", json=body, headers=person.headers)


def shown(track):
    return {name: track[name] for name in SHOWN}


def test_a_track_goes_back_to_a_version_whole(client, world, alice, track):
    world.deliver()
    already = len(world.events(track["id"]))
    answer = revert(client, alice, track, to_version=1)
    assert answer.status_code == 200
    assert shown(answer.json()) == shown(track)
    assert world.events(track["id"])[already:] == [
        "MetadataUpdated", "ArtworkReplaced", "SupportGateRemoved", "VisibilityChanged",
        "DownloadsChanged", "AudioReplaced",
    ]  # fmt: skip
    world.deliver()
    record = world.record(track)
    assert (record["title"], record["description"]) == ("old", "words")
    assert track["file_id"] in record["audioUrl"]


ELSEWHERE = "https://elsewhere.test/cover.png"


@pytest.fixture
def adopted(client, world, alice):
    """A track that was adopted with the URL of a cover, as its owner sees it."""
    with world.log.unit_of_work(alice.did, ARTIST) as unit:
        track_id = next_subject_id(unit.connection, alice.did)
        unit.save(an_adopted_track(track_id, did=alice.did, image_url=ELSEWHERE, at=unit.now))
    return client.get(f"/tracks/{track_id}", headers=alice.headers).json()


@pytest.mark.parametrize("replaced", [True, False])
def test_a_cover_url_returns_when_its_track_is_reverted_to_the_adopted_version(
    client, world, alice, adopted, replaced
):
    path = f"/tracks/{adopted['id']}"
    cover = {"files": {"image": ("c.png", samples.png(), "image/png")}}
    changed = client.patch(
        path, headers=alice.headers, **cover if replaced else {"json": {"remove_image": True}}
    ).json()
    assert changed["image_url"] != adopted["image_url"] == ELSEWHERE
    assert shown(revert(client, alice, adopted, to_version=1).json()) == shown(adopted)
    world.deliver()
    assert world.record(adopted)["imageUrl"] == ELSEWHERE
    assert shown(revert(client, alice, adopted, to_version=2).json()) == shown(changed)
    world.deliver()
    assert world.record(adopted).get("imageUrl") == changed["image_url"]


def test_audio_that_was_on_the_pds_is_asked_for_again(client, world, alice):
    track = upload(client, alice)
    path = f"/tracks/{track['id']}"
    client.post(f"{path}/migrate-to-pds", headers={**alice.headers, "Prefer": "wait=0"})
    world.deliver()
    version = len(world.events(track["id"]))
    replace_audio(client, alice, track)
    world.deliver()
    revert(client, alice, track, to_version=version)
    world.deliver()
    assert client.get(path).json()["pds_blob_cid"] == track["file_id"]


def test_bytes_that_are_gone_cannot_come_back_and_nothing_else_does(client, world, alice, track):
    world.execute(update(media).where(media.c.cid == track["file_id"]).values(state="deleting"))
    before = world.state()
    assert refusal(revert(client, alice, track, to_version=1)) == (409, "bytes_expired")
    assert world.state() == before
    answer = revert(client, alice, track, to_version=1, fields=["title"])
    assert answer.json()["title"] == "old"


def test_going_back_into_a_duplicate_is_refused(client, world, alice, track):
    other = upload(client, alice, seed=1)
    before = world.state()
    answer = revert(client, alice, track, to_version=1)
    assert refusal(answer) == (409, "duplicate_audio")
    assert answer.json()["detail"]["track_id"] == other["id"]
    assert world.state() == before


NO_REVERTS = [
    ({}, (422, "unparsable")),
    ({"to_version": 99}, (404, "version_not_found")),
    ({"to_version": 0}, (404, "version_not_found")),
    ({"to_version": "1"}, (400, "invalid_field")),
    ({"to_version": True}, (400, "invalid_field")),
    ({"to_version": 1.5}, (400, "invalid_field")),
    ({"to_version": None}, (400, "invalid_field")),
    ({"to_version": 1, "fields": ["rkey"]}, (400, "invalid_field")),
    ({"to_version": 1, "fields": "title"}, (400, "invalid_field")),
]


def test_a_revert_that_cannot_be_changes_nothing(subtests, client, world, alice, track):
    before = world.state()
    for body, expected in NO_REVERTS:
        with subtests.test(str(body)):
            assert refusal(revert(client, alice, track, **body)) == expected
            assert world.state() == before


def test_a_form_will_do_too(client, alice, track):
    path = f"/tracks/{track['id']}/revert"
    form = {"to_version": "1", "fields": '["title"]'}
    assert client.post(path, data=form, headers=alice.headers).json()["title"] == "old"
