"""Revisions: a track's earlier audio, listed and restored under the ids of the peer's clients."""

from eventstore.streams import snapshots
from tests.api.plyr.writing import edits, refused, replaces, uploaded
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE


def revisions(client, person, track):
    answer = client.get(f"/plyr/tracks/{track['id']}/revisions", headers=person.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()["revisions"]


def restore(client, person, track, revision_id):
    path = f"/plyr/tracks/{track['id']}/revisions/{revision_id}/restore"
    return client.post(path, headers=person.headers)


def audio_of(client, track):
    return client.get(f"/tracks/{track['id']}").json()["file_id"]


def test_earlier_audio_is_listed_newest_first_and_comes_back_as_a_change(client, world, alice):
    track = uploaded(client, alice, seed=1)
    assert revisions(client, alice, track) == []
    second = replaces(client, alice, track, seed=2)
    third = replaces(client, alice, track, seed=3)
    assert (second.status_code, third.status_code) == (200, 200)
    newest, oldest = revisions(client, alice, track)
    assert newest["id"] > oldest["id"]
    assert {(each["track_id"], each["file_type"], each["was_gated"]) for each in (newest, oldest)} == {
        (track["id"], "mp3", False)
    }
    displaced = restore(client, alice, track, oldest["id"])
    assert displaced.status_code == 200
    assert audio_of(client, track) == track["file_id"]
    assert revisions(client, alice, track) == [displaced.json(), newest]
    world.deliver()
    assert track["file_id"] in world.record(track)["audioUrl"]
    assert world.events(track["id"]) == ["Created", "AudioReplaced", "AudioReplaced", "AudioReplaced"]


def test_a_revision_of_another_track_or_of_nothing_is_not_found(client, world, alice):
    one, other = uploaded(client, alice, seed=1), uploaded(client, alice, seed=2)
    replaces(client, alice, one, seed=3)
    [revision] = revisions(client, alice, one)
    before = world.state()
    assert refused(restore(client, alice, other, revision["id"])) == (404, "not_found")
    assert refused(restore(client, alice, one, 10**18)) == (404, "not_found")
    assert world.state() == before
    assert restore(client, alice, one, revision["id"]).status_code == 200
    assert refused(restore(client, alice, one, revision["id"])) == (404, "not_found")


def test_audio_does_not_cross_the_gate_by_a_restore(client, world, alice):
    track = uploaded(client, alice, seed=1, visibility="supporters")
    replaces(client, alice, track, seed=2)
    edits(client, alice, track, support_gate="null")
    [gated] = revisions(client, alice, track)
    before = world.state()
    assert gated["was_gated"]
    assert refused(restore(client, alice, track, gated["id"])) == (409, "bad_state")
    assert world.state() == before


def test_the_list_decodes_few_events_of_a_long_stream(client, alice, monkeypatch, decoded):
    monkeypatch.setattr(snapshots, "EVENTS_PER_SNAPSHOT", 30)
    track = uploaded(client, alice, seed=1)
    for number in range(35):
        edited = client.patch(f"/tracks/{track['id']}", json={"title": str(number)}, headers=alice.headers)
        assert edited.status_code == 200
    assert replaces(client, alice, track, seed=2).status_code == 200
    decoded.clear()
    assert len(revisions(client, alice, track)) == 1
    assert 0 < len(decoded) < 20
