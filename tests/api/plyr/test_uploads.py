"""Uploads as clients of plyr.fm send them: their answer, their progress stream, and who may hear the track."""

import json

from tests.api.plyr.writing import publishing, refused, uploaded, uploads
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE

HELD = [
    ({}, (None, False, "open")),
    ({"publishing": ""}, (None, False, "open")),
    ({"publishing": publishing()}, (None, False, "open")),
    ({"publishing": publishing(listening="supporters")}, ({"type": "any"}, False, "open")),
    ({"publishing": publishing(visibility="unlisted", downloads="off")}, (None, True, "off")),
    (
        {"publishing": publishing(listening="supporters", visibility="unlisted", downloads="supporters")},
        ({"type": "any"}, True, "supporters"),
    ),
    ({"publishing": publishing(downloads="ask")}, (None, False, "ask")),
    ({"visibility": "public"}, (None, False, "open")),
    ({"visibility": "unlisted"}, (None, True, "open")),
    ({"visibility": "supporters"}, ({"type": "any"}, False, "open")),
    ({"support_gate": '{"type": "any"}', "unlisted": "true"}, ({"type": "any"}, True, "open")),
    ({"copyright": "null", "auto_tag": "false", "album_id": ""}, (None, False, "open")),
]
NOT_HELD = [
    {"publishing": publishing(listening="owner")},
    {"publishing": publishing(listening="signed_in")},
    {"publishing": publishing(listening="space")},
    {"publishing": publishing(visibility="private", listening="supporters")},
    {"publishing": publishing(downloads="friends")},
    {"publishing": publishing(downloads="")},
    {"publishing": publishing(attach_rights=True)},
    {"publishing": publishing(audience="family")},
    {"publishing": '{"acess": {"listening": "owner"}}'},
    {"publishing": '{"access": null}'},
    {"publishing": "public"},
    {"publishing": publishing(), "visibility": "supporters"},
    {"publishing": publishing(), "unlisted": "true"},
    {"visibility": "private"},
    {"visibility": "Public "},
    {"visibility": "unlisted", "support_gate": '{"type": "any"}'},
    {"visibility": "public", "unlisted": "true"},
    {"visibility": "supporters", "unlisted": "true"},
    {"copyright": "{}"},
    {"auto_tag": "true"},
    {"album_id": "00000000-0000-0000-0000-000000000000"},
    {"permissions": "owner"},
]


def test_what_a_track_can_hold_is_applied(subtests, client, alice):
    for seed, (fields, expected) in enumerate(HELD, 1):
        with subtests.test(str(fields)):
            track = uploaded(client, alice, seed, **fields)
            assert (track["support_gate"], track["unlisted"], track["downloads"]) == expected


def test_what_a_track_cannot_hold_is_refused_and_nothing_is_kept(subtests, client, world, alice):
    before = world.state()
    for fields in NOT_HELD:
        with subtests.test(str(fields)):
            status, code = refused(uploads(client, alice, **fields))
            assert (status, code) in {(400, "invalid_field"), (400, "unknown_field")}
            assert world.state() == before


def test_an_upload_is_complete_when_it_is_answered_and_its_stream_says_so_again(client, alice):
    answer = uploads(client, alice, title="Blue", tags='["jazz"]', album="Night Train")
    told = answer.json()
    assert (answer.status_code, told["status"], told["title"]) == (200, "completed", "Blue")
    stream = client.get(f"/plyr/tracks/uploads/{told['upload_id']}/progress")
    assert stream.headers["content-type"].startswith("text/event-stream")
    assert events_of(stream) == [told]
    shown = client.get(f"/plyr/tracks/{told['track_id']}").json()
    assert (shown["tags"], shown["album"]["title"]) == (["jazz"], "Night Train")


def test_the_stream_of_an_unknown_upload_says_that_it_failed(client):
    for upload_id in ("undefined", "77", "9" * 30, "-1", "0"):
        [event] = events_of(client.get(f"/plyr/tracks/uploads/{upload_id}/progress"))
        told = (event["status"], event["message"], event["error"])
        assert told == ("failed", "upload job not found", "job lost"), upload_id


def test_an_upload_may_name_an_album_by_the_id_that_tracks_show(client, alice, bob):
    first = uploaded(client, alice, 1, album="Night Train")
    album = client.get(f"/plyr/tracks/{first['id']}").json()["album"]
    assert uploaded(client, alice, 2, album_id=album["id"])["album"] == "Night Train"
    assert refused(uploads(client, bob, 3, album_id=album["id"])) == (400, "invalid_field")
    assert refused(uploads(client, alice, 3, album_id=album["id"], album="Other")) == (400, "invalid_field")


def events_of(answer):
    return [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
