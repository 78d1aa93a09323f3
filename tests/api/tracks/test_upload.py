"""Uploading a track."""

from datetime import datetime

from aggregates.values import tid_of
from eventstore.streams.buckets import BUCKETS
from eventstore.streams.ids import issue_only_above
from outbox.record.dag_cbor import MAX_INTEGER
from tests.api.world import did_of, upload
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE


def test_an_uploaded_track_is_there_with_all_that_was_sent(client, alice):
    track = upload(
        client,
        alice,
        title="First",
        album="Album",
        description="Words",
        tags=["Rock", "rock", " Low-fi "],
        features=["@bob.test", did_of("carol")],
        self_labels=["sexual"],
        unlisted="false",
        image=samples.image("PNG", 200, 100),
    )

    assert track == client.get(f"/tracks/{track['id']}").json()
    assert track["title"] == "First"
    assert track["artist"] == "Alice"
    assert (track["artist_did"], track["artist_handle"]) == (alice.did, "alice.test")
    assert (track["album"], track["description"]) == ("Album", "Words")
    assert track["tags"] == ["rock", "low-fi"]
    assert track["features"] == [
        {"did": did_of("bob"), "handle": "bob.test"},
        {"did": did_of("carol"), "handle": "carol.test"},
    ]
    assert track["self_labels"] == ["sexual"]
    assert track["unlisted"] is False
    assert track["support_gate"] is None
    assert track["file_type"] == "mp3"
    assert track["audio_url"].endswith(f"/audio/{track['file_id']}.mp3")
    assert track["image_url"]
    assert track["thumbnail_url"]
    assert (track["audio_storage"], track["pds_blob_cid"]) == ("service", None)
    assert track["mirror"]["state"] == "pending"
    assert track["mirror"]["reason"] == "sending"


def test_a_new_track_says_where_it_is_and_at_which_version(client, alice):
    answer = client.post("/tracks", data={"title": "t"}, files={"file": samples.mp3()}, headers=alice.headers)
    track = answer.json()
    assert answer.headers["location"] == f"/tracks/{track['id']}"
    assert answer.headers["etag"] == f'"{track["version"]}"'


def test_the_record_key_is_the_tid_of_created_at(client, alice):
    track = upload(client, alice)
    assert track["created_at"].endswith("Z")
    moment = datetime.fromisoformat(track["created_at"])
    assert track["atproto_record_uri"] == f"at://{alice.did}/fm.plyr.track/{tid_of(moment)}"


def test_the_largest_id_is_taken_by_the_api_its_pages_and_plyr(client, world, alice):
    with world.database.write() as connection:
        issue_only_above(connection, MAX_INTEGER // BUCKETS - 1)
    track = upload(client, alice, title="Last")
    assert MAX_INTEGER - BUCKETS < track["id"] <= MAX_INTEGER
    path = f"/tracks/{track['id']}"
    edited = client.patch(path, json={"title": "Edited"}, headers=alice.headers).json()
    assert (edited["id"], edited["title"]) == (track["id"], "Edited")
    assert len(client.get(f"{path}/history", headers=alice.headers).json()["items"]) == 2
    mine = client.get("/me/tracks", params={"id": track["id"]}, headers=alice.headers).json()
    assert [each["id"] for each in mine["items"]] == [track["id"]]
    page = client.get(f"/@alice.test/{track['id']}", headers={"Accept": "text/html"})
    assert (page.status_code, "Edited" in page.text) == (200, True)
    assert client.get(f"/plyr{path}").json()["id"] == track["id"]
    progress = client.get(f"/plyr/tracks/uploads/{track['id']}/progress").text
    assert '"status": "completed"' in progress
