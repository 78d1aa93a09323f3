"""Tags, artists and search, as clients of plyr.fm read them."""

import pytest

from tests.api.world import upload
from tests.servers.databases import ON_SQLITE


@pytest.fixture(autouse=True)
def tracks(client, alice, bob):
    upload(client, alice, seed=1, title="Blue Train", album="Trains", tags=["jazz", "sax"])
    upload(client, alice, seed=2, title="Naima", album="Giant Steps", tags=["jazz"])
    upload(client, bob, seed=3, title="Boblore", tags=["jungle"])
    gone = upload(client, bob, seed=4, title="train of gone", tags=["gone"])
    client.delete(f"/tracks/{gone['id']}", headers=bob.headers)


def search(client, query):
    answer = client.get(f"/plyr/search/?{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_tags_are_listed_by_use_and_found_by_how_they_begin(client):
    def tags(query=""):
        return [
            (each["name"], each["track_count"]) for each in client.get(f"/plyr/tracks/tags{query}").json()
        ]

    assert tags() == [("jazz", 2), ("jungle", 1), ("sax", 1)]
    assert tags("?q=J&limit=1") == [("jazz", 2)]
    assert tags("?q=%25") == tags("?q=%00") == []


@ON_SQLITE
def test_the_tracks_of_a_tag_are_read_page_by_page(client):
    first = client.get("/plyr/tracks/tags/Jazz?limit=1").json()
    assert first["tag"] == {"name": "jazz", "track_count": 2}
    rest = client.get(f"/plyr/tracks/tags/jazz?cursor={first['next_cursor']}").json()
    assert [each["title"] for each in first["tracks"] + rest["tracks"]] == ["Naima", "Blue Train"]
    assert client.get("/plyr/tracks/tags/none").json()["tracks"] == []


def test_a_search_finds_tracks_artists_albums_and_tags_the_closest_first(client, alice):
    found = search(client, "q=train")
    assert [(each["type"], each["title"]) for each in found["results"]] == [
        ("album", "Trains"),
        ("track", "Blue Train"),
    ]
    assert found["counts"] == {"tracks": 1, "artists": 0, "albums": 1, "tags": 0, "playlists": 0}
    assert {each["artist_handle"] for each in found["results"]} == {"alice.test"}
    [artist] = search(client, "q=ALI&type=artists,tags")["results"]
    assert (artist["did"], artist["handle"], artist["display_name"]) == (alice.did, "alice.test", "Alice")
    [tag] = search(client, "q=ungl&type=tags")["results"]
    assert (tag["name"], tag["track_count"]) == ("jungle", 1)
    assert search(client, "q=%25%25")["results"] == search(client, "q=%00a")["results"] == []
    assert client.get("/plyr/search/?q=x").status_code == 422
    assert client.get("/plyr/search/?q=xx&type=songs").status_code == 400


def test_artists_are_read_by_handle_and_did(client, alice, bob):
    shown = client.get("/plyr/artists/by-handle/alice.test").json()
    assert (shown["did"], shown["handle"], shown["display_name"]) == (alice.did, "alice.test", "Alice")
    assert client.get(f"/plyr/artists/{alice.did}").json() == shown
    assert client.get("/plyr/artists/me", headers=alice.headers).json() == shown
    assert client.get("/plyr/artists/by-handle/%00").status_code == 404
    me = client.get("/plyr/auth/me", headers=bob.headers).json()
    assert (me["did"], me["handle"]) == (bob.did, "bob.test")
