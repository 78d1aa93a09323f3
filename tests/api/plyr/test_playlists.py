"""Playlists as clients of plyr.fm make, order and read them; and the record at the PDS."""

import pytest

from tests.api.plyr.writing import both, refused
from tests.api.world import upload
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE
PATH = "/plyr/lists/playlists"


@pytest.fixture
def tracks(client, world, alice, bob):
    made = [upload(client, who, seed=n, title=f"t{n}") for n, who in enumerate((alice, bob, alice), 1)]
    world.deliver()
    return made


def create(client, person, name="Mine", **fields):
    answer = client.post(PATH, json={"name": name, **fields}, headers=person.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def add(client, person, playlist, track):
    reference = {"track_uri": track["atproto_record_uri"], "track_cid": "bafynotthis"}
    return client.post(f"{PATH}/{playlist['id']}/tracks", json=reference, headers=person.headers)


def remove(client, person, playlist, track):
    path = f"{PATH}/{playlist['id']}/tracks/{track['atproto_record_uri']}"
    return client.delete(path, headers=person.headers)


def titles(client, playlist, person=None):
    answer = client.get(f"{PATH}/{playlist['id']}", headers=person.headers if person else {})
    assert answer.status_code == 200, answer.text
    return [track["title"] for track in answer.json()["tracks"]]


def record(world, playlist):
    return world.pds.records[playlist["atproto_record_uri"]]


def test_a_playlist_is_public_and_has_the_peers_fields_and_a_record(client, world, alice):
    made = create(client, alice)
    assert made == {
        "id": made["id"],
        "name": "Mine",
        "owner_did": alice.did,
        "owner_handle": "alice.test",
        "track_count": 0,
        "image_url": None,
        "show_on_profile": True,
        "atproto_record_uri": made["atproto_record_uri"],
        "is_private": False,
        "preview_thumbnails": [],
        "created_at": made["created_at"],
    }
    assert isinstance(made["id"], str)
    world.deliver()
    found = record(world, made)
    assert (found["name"], found["listType"], found["items"]) == ("Mine", "playlist", [])
    assert client.get(PATH, headers=alice.headers).json() == [made]
    assert client.get(f"{PATH}/by-artist/{alice.did}").json() == [made]
    assert client.get(f"{PATH}/{made['id']}").json() == {**made, "tracks": []}


def test_tracks_of_anybody_go_in_and_out_with_the_cid_of_their_record(client, world, alice, tracks):
    made = create(client, alice)
    assert [add(client, alice, made, track).json()["track_count"] for track in tracks] == [1, 2, 3]
    assert titles(client, made) == ["t1", "t2", "t3"]
    world.deliver()
    cids = [client.get(f"/tracks/{track['id']}").json()["atproto_record_cid"] for track in tracks]
    assert [item["subject"]["cid"] for item in record(world, made)["items"]] == cids
    assert both(add(client, alice, made, tracks[0]))[1:] == ("already_in_list", "track already in playlist")
    assert remove(client, alice, made, tracks[1]).json()["track_count"] == 2
    assert both(remove(client, alice, made, tracks[1])) == (404, "not_in_list", "track not in playlist")
    world.deliver()
    assert len(record(world, made)["items"]) == len(titles(client, made)) == 2


def test_an_order_keeps_what_was_added_meanwhile_and_names_the_record(client, world, alice, tracks):
    made = create(client, alice)
    for track in tracks:
        add(client, alice, made, track)
    world.deliver()
    before = record(world, made)
    items = [{"uri": track["atproto_record_uri"], "cid": "bafyold"} for track in (tracks[1], tracks[0])]
    now = {**alice.headers, "Prefer": "wait=0"}
    answer = client.put(f"{PATH}/{made['id']}/reorder", json={"items": items}, headers=now).json()
    assert (answer["id"], answer["uri"], answer["cid"]) == (made["id"], made["atproto_record_uri"], None)
    assert titles(client, made) == ["t2", "t1", "t3"]
    world.deliver()
    rkey = made["atproto_record_uri"].rpartition("/")[2]
    again = client.put(f"/plyr/lists/{rkey}/reorder", json={"items": items}, headers=now).json()
    ours = client.get(f"/playlists/{made['id']}").json()
    assert (again["uri"], again["cid"]) == (ours["uri"], ours["cid"])
    after = record(world, made)
    assert [item["subject"]["uri"] for item in after["items"]] == [
        each["atproto_record_uri"] for each in (tracks[1], tracks[0], tracks[2])
    ]
    kept = ("name", "listType", "createdAt")
    assert [after[name] for name in kept] == [before[name] for name in kept]


def test_a_form_renames_and_a_public_playlist_is_shown_on_the_profile(client, world, alice):
    made = create(client, alice)
    path = f"{PATH}/{made['id']}"
    fields = {"name": "Other", "show_on_profile": "true"}
    assert client.patch(path, data=fields, headers=alice.headers).json()["name"] == "Other"
    assert client.patch(path, data={"name": ""}, headers=alice.headers).json()["name"] == "Other"
    world.deliver()
    assert record(world, made)["name"] == "Other"
    hidden = client.patch(path, data={"show_on_profile": "false", "name": "No"}, headers=alice.headers)
    assert refused(hidden) == (400, "invalid_field")
    assert client.get(path).json()["name"] == "Other"
    private = client.patch(
        path, data={"is_private": "true", "show_on_profile": "false"}, headers=alice.headers
    )
    assert (private.json()["is_private"], private.json()["show_on_profile"]) == (True, False)


def test_a_private_playlist_is_its_owners_alone(client, world, alice, bob):
    made = create(client, alice, is_private=True)
    assert (made["is_private"], made["atproto_record_uri"]) == (True, None)
    world.deliver()
    assert world.pds.records == {}
    assert client.get(f"{PATH}/by-artist/{alice.did}", headers=bob.headers).json() == []
    for headers in ({}, bob.headers):
        answer = client.get(f"{PATH}/{made['id']}", headers=headers)
        assert both(answer) == (404, "list_not_found", "playlist not found")
    assert titles(client, made, alice) == []


def test_another_account_changes_nothing(client, alice, bob, tracks):
    made = create(client, alice)
    for answer in (
        add(client, bob, made, tracks[0]),
        client.patch(f"{PATH}/{made['id']}", data={"name": "Theirs"}, headers=bob.headers),
        client.delete(f"{PATH}/{made['id']}", headers=bob.headers),
    ):
        assert both(answer) == (403, "not_owner", "not playlist owner")
    assert (
        refused(client.get(PATH))
        == refused(client.post(PATH, json={"name": "x"}))
        == (401, "not_authenticated")
    )
    for unknown in ("77", "a4c1", "%00"):
        assert refused(client.get(f"{PATH}/{unknown}")) == (404, "list_not_found")
    assert client.get(f"{PATH}/by-artist/%00").json() == []


def test_there_are_no_recommendations(client, alice):
    path = f"{PATH}/{create(client, alice)['id']}/recommendations"
    assert client.get(path, headers=alice.headers).json() == {"tracks": [], "available": False}
    assert client.get(f"{path}?limit=11", headers=alice.headers).status_code == 422
    assert refused(client.get(path)) == (401, "not_authenticated")


def test_a_cover_is_sent_as_a_file_and_found_by_search_with_its_playlist(client, alice, bob):
    made = create(client, alice, name="Night Drive")
    create(client, alice, name="Night Secret", is_private=True)
    path, files = f"{PATH}/{made['id']}/cover", {"image": ("cover.png", samples.png(), "image/png")}
    cover = client.post(path, files=files, headers=alice.headers).json()
    assert cover["image_url"].endswith(cover["image_id"])
    assert client.get(f"/artwork/{cover['image_id']}").status_code == 200
    assert refused(client.post(path, json={}, headers=alice.headers)) == (422, "unparsable")
    [found] = client.get("/plyr/search/?q=NIGHT&type=playlists", headers=bob.headers).json()["results"]
    assert (found["id"], found["image_url"], found["owner_handle"]) == (
        made["id"],
        cover["image_url"],
        "alice.test",
    )


def test_what_is_no_playlist_and_no_order_is_refused(client, alice):
    for body, code in (
        ({}, (422, "unparsable")),
        ({"name": "x" * 65}, (400, "invalid_field")),
        ({"name": "A", "tracks": []}, (400, "unknown_field")),
    ):
        assert refused(client.post(PATH, json=body, headers=alice.headers)) == code
    path = f"{PATH}/{create(client, alice)['id']}/reorder"
    for items in (None, {}, ["at://x"], [{"uri": "x"}], [{"uri": 1}], [{"url": "at://x"}]):
        answer = client.put(path, json={"items": items}, headers=alice.headers)
        assert answer.status_code in {400, 404}, items
