"""Records of albums at the PDS: their mirror, conflicts, and when there is none."""

from tests.api.lists.requests import create, ids, read
from tests.api.world import refusal, upload
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE


def test_history_and_mirror_are_as_those_of_tracks(world, client, alice, bob, tracks):
    album = create(client, alice, *tracks)
    world.deliver()
    path = f"/albums/{album['id']}"
    rows = client.get(f"{path}/history", headers=alice.headers).json()["items"]
    assert {row["type"] for row in rows} >= {"Created", "Reordered"}
    mirror = client.get(f"{path}/mirror", headers=alice.headers).json()
    assert (mirror["album_id"], mirror["state"], mirror["record_uri"]) == (
        album["id"],
        "delivered",
        album["uri"],
    )
    compared = client.get(f"{path}/mirror/compare", headers=alice.headers).json()
    assert not any(field["differs"] for field in compared["fields"])
    assert client.post(f"{path}/mirror/retry", headers=alice.headers).status_code == 200
    diff = client.get(f"{path}/diff", params={"from": 1}, headers=alice.headers).json()
    assert [change["field"] for change in diff["changes"]] == ["items"]
    assert refusal(client.get(f"{path}/history", headers=bob.headers)) == (403, "not_owner")
    assert refusal(client.get(f"/playlists/{album['id']}/history", headers=alice.headers)) == (
        404,
        "list_not_found",
    )


def test_an_album_of_texts_has_no_record_until_it_is_saved(world, client, alice):
    track = upload(client, alice, seed=1, album="Texts")
    [row] = client.get(f"/artists/{alice.did}/albums").json()["items"]
    album = client.get(f"/albums/{row['id']}").json()
    assert (album["uri"], album["cid"], album["mirror"], ids(album)) == (None, None, None, [track["id"]])
    assert client.get(f"/albums/{row['id']}/mirror", headers=alice.headers).json()["state"] == "delivered"
    assert client.get(f"/albums/{row['id']}/history", headers=alice.headers).status_code == 200
    assert client.get(f"/albums/{row['id']}/mirror/compare", headers=alice.headers).status_code == 200
    world.deliver()
    assert len(world.pds.records) == 1
    saved = client.patch(f"/albums/{row['id']}", json={"description": "Words"}, headers=alice.headers).json()
    world.deliver()
    assert saved["uri"] in world.pds.records


def test_a_record_that_was_deleted_elsewhere_is_restored(world, client, alice, tracks):
    album = create(client, alice, *tracks)
    world.deliver()
    del world.pds.records[album["uri"]]
    client.patch(f"/albums/{album['id']}", json={"title": "New"}, headers=alice.headers)
    world.deliver()
    assert read(client, album)["mirror"]["state"] == "detached"
    path, now = f"/albums/{album['id']}/restore-record", {**alice.headers, "Prefer": "wait=0"}
    restored = client.post(path, headers=now)
    assert restored.status_code == 200, restored.text
    world.deliver()
    assert world.pds.records[album["uri"]]["name"] == "New"
