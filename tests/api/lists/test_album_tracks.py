"""The tracks of albums: their order, and which of them others see."""

from api.pipeline import list_entries
from tests.api.lists.requests import create, ids, read
from tests.api.world import refusal
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE


def test_the_order_takes_if_match_and_single_changes_do_not(client, alice, tracks):
    album = create(client, alice, *tracks)
    first, second, third = (track["id"] for track in tracks)
    path = f"/albums/{album['id']}/tracks"
    wanted = {"tracks": [{"track_id": third}, {"track_id": first}, {"track_id": second}]}
    assert refusal(client.put(path, json=wanted, headers=alice.headers)) == (428, "version_required")
    stale = {**alice.headers, "If-Match": '"99"'}
    assert refusal(client.put(path, json=wanted, headers=stale)) == (412, "version_mismatch")
    current = {**alice.headers, "If-Match": f'"{album["version"]}"'}
    ordered = client.put(path, json=wanted, headers=current).json()
    assert (ids(ordered), ordered["version"]) == ([third, first, second], album["version"] + 1)

    moved = client.patch(
        path, json={"track_id": second, "before": {"track_id": third}}, headers=alice.headers
    ).json()
    assert ids(moved) == [second, third, first]
    moved = client.patch(path, json={"track_id": second, "before": None}, headers=alice.headers).json()
    assert ids(moved) == [third, first, second]
    left = client.delete(path, params={"track_id": first}, headers=alice.headers).json()
    assert ids(left) == [third, second]
    added = client.post(path, json={"track_id": first}, headers=alice.headers).json()
    assert ids(added) == [third, second, first]
    again = client.post(path, json={"track_id": first}, headers=alice.headers)
    assert refusal(again) == (409, "already_in_list")
    client.delete(path, params={"track_id": first}, headers=alice.headers)
    gone = client.delete(path, params={"track_id": first}, headers=alice.headers)
    assert refusal(gone) == (404, "not_in_list")


def test_an_unlisted_track_is_in_lists_for_its_owner_and_the_lists_alone(world, client, alice, bob, tracks):
    paths = ("/albums", "/playlists")
    made = {path: create(client, alice, *tracks, path=path) for path in paths}
    of_bob = create(client, bob, *tracks, path="/playlists")
    client.patch(f"/tracks/{tracks[1]['id']}", json={"unlisted": True}, headers=alice.headers)
    everything = [track["id"] for track in tracks]
    listed = [everything[0], everything[2]]
    for person, expected in ((alice, everything), (bob, listed), (None, listed)):
        headers = person.headers if person else {}
        for path in paths:
            body = read(client, made[path], person, path)
            [row] = client.get(f"/artists/{alice.did}{path}", headers=headers).json()["items"]
            assert (ids(body), body["track_count"], row["track_count"]) == (expected, *[len(expected)] * 2)
    for person, expected in ((alice, everything), (bob, everything), (None, listed)):
        assert ids(read(client, of_bob, person, "/playlists")) == expected
    assert client.get(f"/tracks/{tracks[1]['id']}").json()["title"] == "Song 2"
    world.deliver()
    assert len(world.pds.records[made["/albums"]["uri"]]["items"]) == 3


def test_an_album_is_ordered_that_has_records_which_are_not_here(world, client, alice, tracks, monkeypatch):
    album = create(client, alice, *tracks)
    world.deliver()
    record = world.pds.records[album["uri"]]
    added = record["items"][0]["subject"] | {"uri": f"at://{alice.did}/fm.plyr.track/3kelsewhere"}
    world.pds.records[album["uri"]] = {**record, "items": [*record["items"], {"subject": added}]}
    client.patch(f"/albums/{album['id']}", json={"title": "Ours"}, headers=alice.headers)
    world.deliver()
    album = read(client, album)
    monkeypatch.setattr(list_entries, "MAX_RECORDS_READ", 0)
    wanted = {"tracks": [{"uri": entry["uri"]} for entry in album["tracks"][::-1]]}
    current = {**alice.headers, "If-Match": f'"{album["version"]}"'}
    ordered = client.put(f"/albums/{album['id']}/tracks", json=wanted, headers=current).json()
    assert ordered["tracks"][0]["uri"] == added["uri"]
