"""Albums over HTTP: made, read, edited, deleted, reverted and listed."""

import pytest

from application.lists import albums
from tests.api.lists.requests import create, ids, read
from tests.api.world import refusal, upload
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE


def test_an_album_is_made_read_and_written_to_the_pds(world, client, alice, tracks):
    answer = client.post(
        "/albums",
        json={
            "title": "Pressings",
            "description": "Words",
            "release_date": "2026-11-30",
            "tracks": [{"track_id": tracks[1]["id"]}, {"uri": tracks[0]["atproto_record_uri"]}],
        },
        headers=alice.headers,
    )
    album = answer.json()
    assert (answer.status_code, answer.headers["Location"]) == (201, f"/albums/{album['id']}")
    assert answer.headers["ETag"] == f'"{album["version"]}"'
    assert {name: album[name] for name in ("title", "slug", "description", "release_date")} == {
        "title": "Pressings",
        "slug": "pressings",
        "description": "Words",
        "release_date": "2026-11-30",
    }
    assert (album["owner_did"], album["owner_handle"], album["image_url"]) == (alice.did, alice.handle, None)
    assert album["tracks"] == [
        {
            "track_id": track["id"],
            "uri": track["atproto_record_uri"],
            "title": track["title"],
            "artist": "Alice",
            "gone": False,
        }
        for track in (tracks[1], tracks[0])
    ]
    assert album["mirror"]["state"] == "pending"
    world.deliver()
    album = read(client, album)
    assert album["mirror"]["state"] == "delivered"
    assert album["mirror"]["references"] == {"state": "current", "since": None}
    record = world.pds.records[album["uri"]]
    assert [item["subject"]["uri"] for item in record["items"]] == [each["uri"] for each in album["tracks"]]
    assert (record["name"], record["listType"], record["createdAt"]) == (
        "Pressings",
        "album",
        album["created_at"],
    )
    assert client.get(f"/tracks/{tracks[0]['id']}").json()["album"] == "Pressings"


def test_an_edit_changes_what_is_given_and_renames_the_text_of_tracks(client, alice, tracks):
    album = create(client, alice, tracks[0], description="Words")
    answer = client.patch(f"/albums/{album['id']}", json={"title": "New"}, headers=alice.headers)
    edited = answer.json()
    assert (edited["title"], edited["description"], edited["slug"]) == ("New", "Words", "album")
    assert client.get(f"/tracks/{tracks[0]['id']}").json()["album"] == "New"
    cleared = client.patch(
        f"/albums/{album['id']}", json={"description": "", "slug": "other"}, headers=alice.headers
    ).json()
    assert (cleared["description"], cleared["slug"]) == (None, "other")
    unchanged = client.patch(f"/albums/{album['id']}", json={"title": "New"}, headers=alice.headers).json()
    assert unchanged["version"] == cleared["version"]


def test_an_edit_that_renames_many_texts_names_their_number_and_goes_on_once_it_is_confirmed(
    *, world, client, alice, tracks, monkeypatch
):
    monkeypatch.setattr(albums, "MAX_TRACKS_AT_ONCE", 2)
    album = create(client, alice, *tracks)
    world.carry()
    path = f"/albums/{album['id']}"
    refused = client.patch(path, json={"title": "New"}, headers=alice.headers)
    assert refusal(refused) == (409, "too_many_tracks")
    assert (refused.json()["detail"]["number"], refused.json()["detail"]["limit"]) == (3, 2)
    confirmed = client.patch(f"{path}?confirm=true", json={"title": "New"}, headers=alice.headers)
    assert confirmed.json()["title"] == "New"
    world.carry()
    assert [client.get(f"/tracks/{track['id']}").json()["album"] for track in tracks] == ["New"] * 3
    assert refusal(client.delete(path, headers=alice.headers)) == (409, "too_many_tracks")


@pytest.mark.parametrize("without", [{"remove_image": True}, {"image": None}])
def test_a_cover_comes_as_a_file_and_goes(client, alice, without):
    album = create(client, alice)
    files = {"image": ("cover.png", samples.png(), "image/png")}
    edited = client.patch(f"/albums/{album['id']}", data={}, files=files, headers=alice.headers).json()
    cid = edited["image_url"].rpartition("/")[2]
    assert client.get(f"/artwork/{cid}").status_code == 200
    assert client.get(f"/artwork/{edited['thumbnail_url'].rpartition('/')[2]}").status_code == 200
    removed = client.patch(f"/albums/{album['id']}", json=without, headers=alice.headers).json()
    assert (removed["image_url"], removed["thumbnail_url"]) == (None, None)
    assert refusal(client.get(f"/artwork/{cid}")) == (404, "media_not_found")


def test_a_revert_brings_fields_and_order_back(client, alice, tracks):
    album = create(client, alice, *tracks)
    path, before = f"/albums/{album['id']}", album["version"]
    client.patch(path, json={"title": "New", "description": "Words"}, headers=alice.headers)
    client.delete(f"{path}/tracks", params={"track_id": tracks[0]["id"]}, headers=alice.headers)
    only = client.post(
        f"{path}/revert", json={"to_version": before, "fields": ["items"]}, headers=alice.headers
    ).json()
    assert (only["title"], ids(only)) == ("New", [track["id"] for track in tracks])
    whole = client.post(f"{path}/revert", json={"to_version": before}, headers=alice.headers).json()
    assert (whole["title"], whole["description"], ids(whole)) == (
        "Album",
        None,
        [track["id"] for track in tracks],
    )
    texts = [client.get(f"/tracks/{track['id']}").json()["album"] for track in tracks]
    assert texts == ["Album"] * 3
    refused = client.post(
        f"{path}/revert", json={"to_version": before, "fields": ["rkey"]}, headers=alice.headers
    )
    assert refusal(refused) == (400, "invalid_field")


def test_its_owner_and_operators_read_it_as_it_was(*, client, alice, bob, admin, tracks):
    album = create(client, alice, *tracks, description="Words")
    path = f"/albums/{album['id']}"
    client.delete(f"{path}/tracks?track_id={tracks[0]['id']}", headers=alice.headers)
    client.patch(path, json={"title": "New", "description": ""}, headers=alice.headers)
    client.delete(path, headers=alice.headers)

    def then(person, **when):
        return client.get(path, params=when, headers=person.headers if person else {})

    for person in (alice, admin):
        found = then(person, version=album["version"]).json()
        assert (found["title"], found["description"], ids(found)) == ("Album", "Words", ids(album))
    assert refusal(then(bob, version=1)) == (404, "list_not_found")
    assert refusal(then(None, version=1)) == (401, "not_authenticated")
    assert refusal(then(alice, version=99)) == (404, "version_not_found")
    assert refusal(then(alice, version=1, at="2026-01-01T00:00:00Z")) == (400, "invalid_field")
    assert then(alice, at="2999-01-01T00:00:00Z").json()["deleted_at"] is not None


NO_ALBUMS = [
    ({}, (422, "unparsable")),
    ({"title": "x" * 65}, (400, "invalid_field")),
    ({"title": "A", "release_date": "soon"}, (400, "invalid_field")),
    ({"title": "A", "slug": "Not a slug"}, (400, "invalid_field")),
    ({"title": "A", "tracks": [{}]}, (400, "invalid_field")),
    ({"title": "A", "tracks": [{"track_id": 1, "uri": "at://did:plc:a/b.c.d/e"}]}, (400, "invalid_field")),
    ({"title": "A", "tracks": [{"id": 1}]}, (400, "unknown_field")),
    ({"title": "A", "tracks": [{"track_id": 12345}]}, (404, "track_not_found")),
    ({"title": "A", "tracks": [{"uri": "https://example.com"}]}, (400, "invalid_field")),
    ({"title": "A", "visibility": "private"}, (400, "unknown_field")),
]


def test_what_is_no_album_is_refused_and_changes_nothing(subtests, world, client, alice):
    before = world.state()
    for body, code in NO_ALBUMS:
        with subtests.test(str(body)[:80]):
            assert refusal(client.post("/albums", json=body, headers=alice.headers)) == code
            assert world.state() == before


def test_the_albums_of_an_artist_are_listed_newest_first(client, alice, bob):
    made = [create(client, alice, title=f"Album {number}") for number in (1, 2, 3)]
    create(client, bob)
    upload(client, alice, seed=5, album="Of a text")
    page = client.get(f"/artists/{alice.handle}/albums", params={"limit": 2}).json()
    assert [row["title"] for row in page["items"]] == ["Of a text", "Album 3"]
    assert (page["items"][0]["uri"], page["items"][0]["track_count"]) == (None, 1)
    rest = client.get(f"/artists/{alice.did}/albums", params={"cursor": page["cursor"]}).json()
    assert [row["id"] for row in rest["items"]] == [made[1]["id"], made[0]["id"]]
    assert rest["cursor"] is None
