"""What goes wrong with lists and likes where they are written inside requests, at a real PDS: here it ends well (docs/incidents.md)."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from demo.service import Client, Service
from demo.story import COLLECTION
from devpds.server import DevPds
from tests.e2e.artist import Artist
from tests.e2e.conftest import ONE_DATABASE, NewArtist
from tests.e2e.lists_of_an_artist import LIKES, LISTS, ListMaker, uris, uris_in
from tests.faults.faults import answer, cut_after, hold_until
from tests.faults.proxy import FaultProxy, of_repo
from tests.media_samples import samples
from tests.servers.firehose import writes_of
from tests.waits import until

pytestmark = [pytest.mark.pds, ONE_DATABASE]
MOOD = "com.example.mood"


@pytest.fixture
def lists(artist: Artist) -> ListMaker:
    return ListMaker(artist)


def likes(artist: Artist) -> list[str]:
    return [each["value"]["subject"]["uri"] for each in artist.pds.list_records(artist.did, LIKES)]


@pytest.mark.parametrize("door", ["albums", "playlists"])
def test_an_order_changes_the_items_alone(lists: ListMaker, door: str) -> None:
    first, second, third = lists.tracks(3)
    path = lists.creates(door, first, second, third)
    before = lists.agrees(path)
    lists.overwrites(path, {**before, MOOD: "blue"})
    lists.orders(path, third, second, first)
    assert lists.agrees(path)[MOOD] == "blue"
    references = [{"uri": uri, "cid": "bafyold"} for uri in uris([second, third])]
    lists.does("PUT", f"/plyr/lists/{lists.rkey(path)}/reorder", items=references)
    after = lists.agrees(path)
    assert uris_in(after) == uris([second, third, first])
    assert {name: after[name] for name in ("name", "listType", "createdAt", MOOD)} == {
        "name": "Takes",
        "listType": door.removesuffix("s"),
        "createdAt": before["createdAt"],
        MOOD: "blue",
    }


def test_a_sign_in_writes_no_list(lists: ListMaker, artist: Artist, service: Service, pds: DevPds) -> None:
    lists.agrees(lists.creates("albums", *lists.tracks(2)))
    outside = artist.uploads(title="Outside")
    artist.agreed()
    before = writes_of(pds, [artist.did])[artist.did]
    for _ in range(3):
        Client(service.url, artist.did, artist.account.app_password).http.close()
    artist.client.edit(outside["id"], title="Outside of it")
    artist.agreed()
    after = writes_of(pds, [artist.did])[artist.did]
    assert [write.path.split("/")[0] for write in after[len(before) :]] == [COLLECTION]


def test_the_owners_order_stays_through_all_that_happens_to_its_tracks(
    lists: ListMaker, artist: Artist
) -> None:
    first, second, third = lists.tracks(3)
    path = lists.creates("albums", first, second, third)
    lists.orders(path, third, first, second)
    wanted = uris([third, first, second])
    made = lists.agrees(path)["createdAt"]

    track = f"/tracks/{first['id']}"
    artist.track_id, artist.record_uri = first["id"], first["atproto_record_uri"]
    file = {"file": ("other.mp3", samples.mp3(4711))}
    assert artist.client.http.put(f"{track}/audio", files=file).is_success
    assert uris_in(lists.agrees(path)) == wanted
    artist.agreed()
    artist.loses_the_record()
    lists.does("POST", f"{track}/restore-record")
    assert uris_in(lists.agrees(path)) == wanted
    lists.does("DELETE", track)
    assert uris_in(lists.agrees(path)) == uris([third, second])
    lists.does("POST", f"{track}/undelete")
    assert uris_in(lists.agrees(path)) == wanted
    lists.does("PATCH", path, title="Other Takes")
    renamed = lists.agrees(path)
    assert (uris_in(renamed), renamed["name"], renamed["createdAt"]) == (wanted, "Other Takes", made)


def test_a_list_refers_to_the_newest_record_of_each_track(lists: ListMaker, artist: Artist) -> None:
    first, second = lists.tracks(2)
    paths = [lists.creates("albums", first, second), lists.creates("playlists", second)]
    for path in paths:
        lists.agrees(path)
    artist.client.edit(second["id"], title="Another Take", description="New.")
    until(lambda: artist.client.track(second["id"])["mirror"]["state"] == "delivered")
    for path in paths:
        lists.agrees(path)
    now = artist.client.track(second["id"])
    assert [lists.record(path)["items"][-1]["subject"]["cid"] for path in paths] == [
        now["atproto_record_cid"]
    ] * 2


def test_additions_at_once_and_another_clients_are_all_there(lists: ListMaker) -> None:
    tracks = lists.tracks(5)
    path = lists.creates("playlists", tracks[0])
    record = lists.agrees(path)
    last = lists.artist.client.track(tracks[4]["id"])
    theirs = {"subject": {"uri": last["atproto_record_uri"], "cid": last["atproto_record_cid"]}}
    lists.overwrites(path, {**record, "items": [*record["items"], theirs]})
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda track: lists.does("POST", f"{path}/tracks", track_id=track["id"]), tracks[1:4]))
    until(lambda: len(lists.reads(path)["tracks"]) == 5)
    assert sorted(uris_in(lists.agrees(path))) == sorted(uris(tracks))
    assert lists.reads(path)["mirror"]["state"] == "delivered"


def test_a_removed_track_leaves_the_record_too(lists: ListMaker, artist: Artist) -> None:
    first, second = lists.tracks(2)
    path = lists.creates("albums", first, second)
    lists.agrees(path)
    shown = artist.client.http.get(f"/plyr/tracks/{first['id']}").json()["album"]
    lists.does("DELETE", f"/plyr/albums/{shown['id']}/tracks/{first['id']}")
    assert uris_in(lists.agrees(path)) == uris([second])
    artist.track_id, artist.record_uri = first["id"], first["atproto_record_uri"]
    assert "album" not in (artist.agreed() or {})


def test_a_list_that_is_deleted_while_the_pds_fails_leaves_no_record(
    new_artist: NewArtist, proxied_pds: DevPds, proxy: FaultProxy
) -> None:
    lists = ListMaker(new_artist(proxied_pds))
    path = lists.creates("playlists")
    lists.agrees(path)
    proxy.on("deleteRecord", fault=answer(502, "BadGateway"), times=1, matches=of_repo(lists.did))
    lists.does("DELETE", path)
    proxy.await_passed("deleteRecord", matches=of_repo(lists.did))
    assert len(lists.pds.list_records(lists.did, LISTS)) == 1
    until(lambda: lists.pds.list_records(lists.did, LISTS) == [])


def test_a_list_whose_answer_is_lost_is_made_once(
    new_artist: NewArtist, proxied_pds: DevPds, proxy: FaultProxy
) -> None:
    lists = ListMaker(new_artist(proxied_pds))
    proxy.on("createRecord", "putRecord", fault=cut_after, times=1, matches=of_repo(lists.did))
    path = lists.creates("playlists")
    lists.agrees(path)
    [record] = lists.pds.list_records(lists.did, LISTS)
    assert record["uri"] == lists.reads(path)["uri"]


def test_an_album_is_renamed_in_one_commit_with_its_tracks(lists: ListMaker) -> None:
    path = lists.creates("albums", *lists.tracks(5))
    until(lambda: albums_in(lists) == {"Takes"})
    lists.agrees(path)
    before = writes_of(lists.pds, [lists.did])[lists.did]
    lists.does("PATCH", path, title="Other Takes")
    until(lambda: albums_in(lists) == {"Other Takes"})
    assert lists.agrees(path)["name"] == "Other Takes"
    after = writes_of(lists.pds, [lists.did])[lists.did]
    assert len({write.rev for write in after[len(before) :]}) == 1


def albums_in(lists: ListMaker) -> set[str | None]:
    return {each["value"].get("album") for each in lists.pds.list_records(lists.did, COLLECTION)}


def test_a_like_without_a_login_arrives_after_the_next_sign_in(
    artist: Artist, new_artist: NewArtist, service: Service, pds: DevPds
) -> None:
    track = artist.uploads()
    artist.agreed()
    fan = new_artist(pds)
    fan.client.http.post("/me/disconnect")
    assert fan.client.http.put(f"/tracks/{track['id']}/like").json()["mirror"]["state"] == "parked"
    assert likes(fan) == []
    Client(service.url, fan.did, fan.account.app_password).http.close()
    until(lambda: likes(fan) == [track["atproto_record_uri"]])


def test_an_unlike_while_the_like_is_on_its_way_leaves_no_record(
    new_artist: NewArtist, proxied_pds: DevPds, proxy: FaultProxy
) -> None:
    artist, opened = new_artist(proxied_pds), threading.Event()
    track = artist.uploads()
    artist.agreed()
    path, ours = f"/tracks/{track['id']}/like", of_repo(artist.did)
    proxy.seen.clear()
    proxy.on("createRecord", "putRecord", fault=hold_until(opened), times=1, matches=ours)
    like = artist.client.http.put(path).json()
    proxy.await_passed("createRecord", "putRecord", matches=ours)
    assert artist.client.http.delete(path).is_success
    opened.set()
    mirror = f"/likes/{like['id']}/mirror"
    until(lambda: artist.client.http.get(mirror).json()["state"] == "delivered")
    assert likes(artist) == []
    assert artist.client.track(track["id"])["is_liked"] is False


def test_an_older_version_of_a_list_that_comes_again_is_written_over(lists: ListMaker) -> None:
    first, second = lists.tracks(2)
    path = lists.creates("playlists", first, second)
    older = lists.agrees(path)
    lists.orders(path, second, first)
    lists.agrees(path)
    lists.overwrites(path, older)
    lists.does("PATCH", path, name="Later Takes")
    newest = lists.agrees(path)
    assert (uris_in(newest), newest["name"]) == (uris([second, first]), "Later Takes")
    assert [row["type"] for row in lists.does("GET", f"{path}/history")["items"]][:2] == [
        "Edited",
        "Reordered",
    ]


def test_a_list_that_is_too_long_or_badly_named_is_refused_before_it_is_written(
    lists: ListMaker, artist: Artist
) -> None:
    path = lists.creates("playlists")
    record = lists.agrees(path)
    full = [{"uri": f"at://{artist.did}/{COLLECTION}/{key}"} for key in range(501)]
    for fields in ({"name": "x" * 65}, {"name": "\u0e01" * 90}, {"name": "Long", "tracks": full}):
        refused = artist.client.http.post("/playlists", json=fields)
        assert refused.status_code == 400, refused.text
    refused = artist.client.http.patch(path, json={"name": "x" * 65})
    assert refused.json()["detail"]["error"] == "invalid_field"
    assert [each["value"] for each in lists.pds.list_records(lists.did, LISTS)] == [record]
