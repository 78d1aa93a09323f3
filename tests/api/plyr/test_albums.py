"""Albums as clients of plyr.fm make, fill, order and read them: by UUID and by slug."""

import pytest

from application.lists import albums
from tests.api.plyr.writing import both, refused, uploaded
from tests.api.world import upload
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE


def create(client, person, title="Blue Train", **fields):
    answer = client.post("/plyr/albums/", json={"title": title, **fields}, headers=person.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def album_of(client, track):
    return client.get(f"/plyr/tracks/{track['id']}").json()["album"]


def read(client, slug="blue-train"):
    answer = client.get(f"/plyr/albums/alice.test/{slug}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def titles(client, slug="blue-train"):
    return [track["title"] for track in read(client, slug)["tracks"]]


def finalize(client, person, album, *tracks):
    body = {"track_ids": [track["id"] for track in tracks]}
    return client.post(f"/plyr/albums/{album['id']}/finalize", json=body, headers=person.headers)


@pytest.fixture
def filled(client, alice):
    """An album and its three tracks, as the peer's page uploads them."""
    album = create(client, alice, description="Words")
    tracks = [uploaded(client, alice, seed=n, title=f"t{n}", album_id=album["id"]) for n in (1, 2, 3)]
    return album, tracks


def test_an_album_is_made_empty_and_has_a_record_once_it_is_finalized(client, world, alice, filled):
    album, tracks = filled
    assert album == {
        "id": album["id"],
        "title": "Blue Train",
        "slug": "blue-train",
        "description": "Words",
        "artist": "Alice",
        "artist_handle": "alice.test",
        "artist_did": alice.did,
        "track_count": 0,
        "total_plays": 0,
        "image_url": None,
        "list_uri": None,
    }
    world.deliver()
    assert len(world.pds.records) == 3
    done = finalize(client, alice, album, tracks[2], tracks[1]).json()
    assert titles(client) == ["t1", "t3", "t2"]
    world.deliver()
    assert len(world.pds.records[done["list_uri"]]["items"]) == 3
    again = create(client, alice, title="blue train!")
    assert (again["id"], again["title"], again["track_count"]) == (album["id"], "Blue Train", 3)
    assert read(client)["metadata"] == again


def test_tracks_of_no_album_are_not_finalized(client, alice, filled):
    album, tracks = filled
    alone = upload(client, alice, seed=4)
    assert both(finalize(client, alice, album, tracks[0], alone)) == (
        404,
        "not_in_list",
        "track is not in this album",
    )
    assert refused(finalize(client, alice, album)) == (400, "invalid_field")
    assert refused(finalize(client, alice, album, {"id": 77})) == (404, "track_not_found")
    assert titles(client) == ["t1", "t2", "t3"]


def test_the_id_stays_through_renames_and_another_album_gets_another(client, world, alice):
    track = upload(client, alice, album="Blue Train")
    first = album_of(client, track)
    path = f"/plyr/albums/{first['id']}"
    renamed = client.patch(f"{path}?title=Giant%20Steps&description=Words", headers=alice.headers).json()
    assert (renamed["id"], renamed["title"], renamed["description"]) == (first["id"], "Giant Steps", "Words")
    assert (album_of(client, track)["id"], album_of(client, track)["title"]) == (first["id"], "Giant Steps")
    world.deliver()
    assert world.pds.records[renamed["list_uri"]]["name"] == "Giant Steps"
    second = album_of(client, upload(client, alice, seed=2, album="Blue Train"))
    assert second["id"] != first["id"]
    taken = client.patch(f"/plyr/albums/{second['id']}?title=Giant%20Steps", headers=alice.headers)
    assert both(taken)[1:] == ("title_taken", "another of your albums already uses that name")
    client.delete(path, headers=alice.headers)
    assert client.patch(f"/plyr/albums/{second['id']}", headers=alice.headers).json()["id"] == second["id"]


def test_an_album_of_texts_has_the_same_id_when_it_is_made_again(client, alice):
    track = upload(client, alice, album="Blue Train")
    first = album_of(client, track)
    for text in ("", "Blue Train"):
        client.patch(f"/tracks/{track['id']}", json={"album": text}, headers=alice.headers)
    assert album_of(client, track) == first


def test_a_cover_is_shown_with_the_album_and_its_tracks(client, alice, filled):
    album, tracks = filled
    files = {"image": ("cover.png", samples.png(), "image/png")}
    cover = client.post(f"/plyr/albums/{album['id']}/cover", files=files, headers=alice.headers).json()
    shown = album_of(client, tracks[0])
    assert (shown["image_url"], shown["thumbnail_url"]) == (cover["image_url"], cover["thumbnail_url"])
    [listed] = client.get("/plyr/albums/alice.test").json()["albums"]
    assert listed == {
        "id": album["id"],
        "title": "Blue Train",
        "slug": "blue-train",
        "track_count": 3,
        "total_plays": 0,
        "image_url": cover["image_url"],
    }
    [found] = client.get("/plyr/search/?q=blue+tr&type=albums").json()["results"]
    assert (found["id"], found["image_url"]) == (album["id"], cover["image_url"])


def test_a_track_leaves_its_album_and_the_record(client, world, alice, filled):
    album, tracks = filled
    done = finalize(client, alice, album, *tracks).json()
    path = f"/plyr/albums/{album['id']}/tracks/{tracks[1]['id']}"
    answer = client.delete(path, headers=alice.headers)
    assert answer.json() == {"removed": True, "track_id": tracks[1]["id"]}
    assert both(client.delete(path, headers=alice.headers)) == (
        404,
        "not_in_list",
        "track is not in this album",
    )
    assert album_of(client, tracks[1]) is None
    world.deliver()
    assert len(world.pds.records[done["list_uri"]]["items"]) == 2


def test_very_many_albums_of_an_artist_come_in_pages_by_their_titles(client, alice, monkeypatch):
    monkeypatch.setattr("api.plyr.albums.MAX_LISTED", 2)
    for seed, title in enumerate(("B", "C", "A")):
        upload(client, alice, seed=seed, album=title)
    pages = [client.get("/plyr/albums/alice.test").json()]
    pages.append(client.get("/plyr/albums/alice.test", params={"cursor": pages[0]["next_cursor"]}).json())
    assert [[each["title"] for each in page["albums"]] for page in pages] == [["A", "C"], ["B"]]
    assert [page["has_more"] for page in pages] == [True, False]


@pytest.mark.parametrize("cascade", [False, True])
def test_a_deleted_album_leaves_its_tracks_or_takes_them_along(client, world, alice, filled, cascade):
    album, tracks = filled
    finalize(client, alice, album, *tracks)
    world.deliver()
    path = f"/plyr/albums/{album['id']}"
    answer = client.delete(path, params={"cascade": cascade}, headers=alice.headers)
    assert answer.json() == {"deleted": True, "cascade": cascade}
    world.deliver()
    assert len(world.pds.records) == (0 if cascade else 3)
    assert both(client.delete(path, headers=alice.headers)) == (404, "list_not_found", "album not found")
    assert refused(client.get("/plyr/albums/alice.test/blue-train")) == (404, "list_not_found")
    assert client.get("/plyr/albums/alice.test").json()["albums"] == []


def test_a_deleted_track_is_not_counted(client, alice, filled):
    _, tracks = filled
    client.delete(f"/plyr/tracks/{tracks[0]['id']}", headers=alice.headers)
    assert titles(client) == ["t2", "t3"]
    [listed] = client.get("/plyr/albums/alice.test").json()["albums"]
    assert listed["track_count"] == read(client)["metadata"]["track_count"] == 2


def test_more_tracks_than_a_unit_deletes_are_not_deleted_with_their_album(client, alice, filled, monkeypatch):
    album, _ = filled
    monkeypatch.setattr(albums, "MAX_TRACKS_AT_ONCE", 2)
    path = f"/plyr/albums/{album['id']}"
    status, code, said = both(client.delete(f"{path}?cascade=true", headers=alice.headers))
    assert (status, code) == (409, "too_many_tracks")
    assert "confirm" not in said
    assert client.patch(f"{path}?title=Later", headers=alice.headers).json()["title"] == "Later"
    assert client.delete(path, headers=alice.headers).status_code == 200


def test_a_list_is_found_by_the_uri_of_its_record(client, alice, bob, filled):
    album, tracks = filled
    uri = finalize(client, alice, album, *tracks).json()["list_uri"]
    found = client.get("/plyr/lists/by-uri", params={"uri": uri}).json()
    assert found == {"type": "album", "id": album["id"], "handle": "alice.test", "slug": "blue-train"}
    playlist = client.post("/plyr/lists/playlists", json={"name": "P"}, headers=bob.headers).json()
    found = client.get("/plyr/lists/by-uri", params={"uri": playlist["atproto_record_uri"]}).json()
    assert (found["type"], found["id"]) == ("playlist", playlist["id"])
    for unknown in (f"{uri}x", "at://", "x\0", tracks[0]["atproto_record_uri"]):
        answer = client.get("/plyr/lists/by-uri", params={"uri": unknown})
        assert both(answer) == (404, "list_not_found", "list not found")
    order = {"items": [{"uri": tracks[2]["atproto_record_uri"], "cid": "bafy"}]}
    answer = client.put(f"/plyr/lists/{uri[-13:]}/reorder", json=order, headers=bob.headers)
    assert refused(answer) == (404, "list_not_found")


def test_the_albums_of_another_account_are_out_of_reach(client, bob, filled):
    album, tracks = filled
    path = f"/plyr/albums/{album['id']}"
    for answer in (
        client.patch(f"{path}?title=Mine", headers=bob.headers),
        client.delete(path, headers=bob.headers),
        finalize(client, bob, album, *tracks),
    ):
        assert both(answer) == (404, "list_not_found", "album not found")
    assert refused(client.patch(f"{path}?title=Mine")) == (401, "not_authenticated")
    assert refused(client.get("/plyr/albums/nobody.test/x")) == (404, "not_found")
    assert refused(client.get("/plyr/albums/alice.test/%00")) == (404, "list_not_found")
