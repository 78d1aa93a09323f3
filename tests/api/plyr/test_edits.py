"""Edits and deletions as clients of plyr.fm send them."""

from tests.api.plyr.writing import edits, publishing, refused, uploaded
from tests.api.tracks.patch import CLIENTS_OF_PLYR
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE


def test_each_documented_field_has_its_effect_and_the_answer_is_the_peers_track(subtests, client, alice):
    track = uploaded(client, alice, album="Old", description="old", tags='["old"]')
    for field, sent, name, effect in CLIENTS_OF_PLYR:
        with subtests.test(f"{field}={sent}"):
            answer = edits(client, alice, track, **{field: sent})
            assert answer.status_code == 200
            assert client.get(f"/tracks/{track['id']}").json()[name] == effect
            assert answer.json() == client.get(f"/plyr/tracks/{track['id']}", headers=alice.headers).json()


def test_the_route_for_publishing_changes_it_at_once_and_its_job_is_done(client, alice, bob):
    track = uploaded(client, alice)
    path = f"/plyr/tracks/{track['id']}/publishing"
    wanted = {"access": {"listening": "supporters", "downloads": "off"}}
    job = client.post(path, json={"settings": wanted}, headers=alice.headers).json()["job_id"]
    told = client.get(f"/plyr/tracks/publishing-jobs/{job}", headers=alice.headers).json()
    assert (told["status"], told["updated_track_ids"]) == ("completed", [track["id"]])
    shown = client.get(f"/plyr/tracks/{track['id']}", headers=alice.headers).json()
    assert (shown["visibility"], shown["download_policy"]) == ("supporters", "off")
    assert refused(client.post(path, json={"settings": wanted}, headers=bob.headers)) == (403, "not_owner")
    for settings in (None, {"access": {"listening": "owner"}}, {"access": {"visibility": "private"}}):
        answer = client.post(path, json={"settings": settings}, headers=alice.headers)
        assert refused(answer) == (400, "invalid_field")
    assert client.get(f"/plyr/tracks/{track['id']}", headers=alice.headers).json() == shown


NOT_HELD = [
    {"publishing": publishing(listening="owner")},
    {"publishing": publishing(visibility="private")},
    {"publishing": publishing(), "support_gate": '{"type": "any"}'},
    {"publishing": publishing(), "unlisted": "true"},
    {"visibility": "private"},
    {"downloads": "off"},
    {"support_gate": '{"type": "copyright"}'},
    {"title": ""},
]


def test_an_edit_that_a_track_cannot_hold_changes_nothing(subtests, client, world, alice):
    track = uploaded(client, alice)
    before = world.state()
    for fields in NOT_HELD:
        with subtests.test(str(fields)):
            status, _ = refused(edits(client, alice, track, **{"description": "kept?", **fields}))
            assert (status, world.state()) == (400, before)


def test_an_unknown_word_of_publishing_is_named(client, alice):
    answer = edits(client, alice, uploaded(client, alice), publishing=publishing(visibilty="unlisted"))
    assert refused(answer) == (400, "unknown_field")
    assert "did you mean 'visibility'" in answer.json()["detail"]


def test_a_deleted_track_is_gone(client, alice):
    path = f"/plyr/tracks/{uploaded(client, alice)['id']}"
    answer = client.delete(path, headers=alice.headers)
    assert (answer.status_code, answer.json()) == (200, {"message": "track deleted successfully"})
    assert refused(client.get(path)) == (404, "track_not_found")
