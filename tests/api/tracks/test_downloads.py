"""Who may download a track: `downloads`, its events, and the route that serves the file."""

from urllib.parse import unquote

import pytest

from aggregates.tracks.track import Track
from tests.api.world import Vouching, refusal, upload
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE


def sets(client, person, track, **fields):
    answer = client.patch(f"/tracks/{track['id']}", json=fields, headers=person.headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def download(client, track, person=None):
    url = f"/audio/{track['file_id']}.{track['file_type']}/download"
    return client.get(url, headers=person.headers if person else {})


def test_a_track_is_open_for_downloads_unless_its_owner_says_otherwise(client, alice):
    track = upload(client, alice, title='Söng: "one"/two', seed=1)
    answer = download(client, track)
    assert (track["downloads"], answer.status_code, answer.content) == ("open", 200, samples.mp3(1))
    disposition, _, name = answer.headers["content-disposition"].partition("; filename*=UTF-8''")
    assert (disposition, unquote(name)) == ("attachment", "Alice - Söng onetwo.mp3")


def test_a_change_is_in_the_history_and_the_audit_and_leaves_the_record_alone(client, world, alice):
    track = upload(client, alice)
    world.deliver()
    before = world.record(track)
    changed = sets(client, alice, track, downloads="off")
    world.deliver()
    assert (changed["downloads"], changed["mirror"]["state"]) == ("off", "delivered")
    assert world.record(track) == before
    rows = client.get(f"/tracks/{track['id']}/history", headers=alice.headers).json()["items"]
    assert rows[0]["type"] == "DownloadsChanged"
    assert rows[0]["changes"] == [{"field": "downloads", "before": None, "after": "off"}]
    assert rows[0]["delivery"]["status"] == "none"
    audit = client.get("/audit?type=DownloadsChanged", headers=alice.headers).json()
    assert [row["track_id"] for row in audit["items"]] == [track["id"]]


def test_an_upload_is_never_open_for_a_moment_when_it_says_otherwise(client, world, alice):
    track = upload(client, alice, downloads="off")
    assert (track["downloads"], world.events(track["id"])) == ("off", ["Created", "DownloadsChanged"])
    with world.database.read() as connection:
        recorded = world.log.stream(connection, alice.did, Track.create_id(track["id"]))
    assert len({each.request_id for each in recorded}) == 1


@pytest.mark.parametrize(
    ("fields", "answers"),
    [
        ({"downloads": "ask"}, [200, 200, 200, 200]),
        ({"downloads": "supporters"}, [401, 402, 200, 200]),
        ({"downloads": "off"}, [403, 403, 403, 200]),
        ({"support_gate": {"type": "any"}}, [401, 402, 200, 200]),
        ({"support_gate": {"type": "any"}, "downloads": "ask"}, [401, 402, 200, 200]),
    ],
)
def test_only_whom_the_policy_names_may_download(world, alice, bob, fields, answers):
    track = upload(world.serve(), alice, **fields)
    client = world.serve(supporters=Vouching((alice.did, bob.did)))
    stranger = world.sign_in("carol")
    callers = (None, stranger, bob, alice)
    assert [download(client, track, who).status_code for who in callers] == answers


def test_downloads_that_are_off_are_refused_with_what_still_works(client, alice):
    track = upload(client, alice, downloads="off")
    answer = download(client, track)
    assert refusal(answer) == (403, "downloads_off")
    assert "played" in answer.json()["detail"]["message"]
    assert client.get(f"/audio/{track['file_id']}.mp3").status_code == 200
