"""The audio that a track had: its owner may play it while its bytes are kept, and is told until when they are."""

from datetime import datetime, timedelta

import pytest

from replay.derived import sweep_media
from tests.api.tracks.takedown import decide
from tests.api.world import refusal, replace_audio, upload
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE

BEFORE, AFTER = samples.mp3(1), samples.mp3(2)


@pytest.fixture
def track(client, alice):
    """A track whose audio was replaced by its second version."""
    track = upload(client, alice, seed=1)
    replace_audio(client, alice, track)
    return track


def then(client, person, track, version=1):
    answer = client.get(f"/tracks/{track['id']}?version={version}", headers=person.headers)
    assert answer.status_code == 200
    return answer.json()


def play(client, track, person=None, *, version=1, **headers):
    url = f"/tracks/{track['id']}/audio?version={version}"
    return client.get(url, headers={**(person.headers if person else {}), **headers})


def test_replaced_audio_can_be_played_and_says_until_when(world, client, alice, track):
    past = then(client, alice, track)
    replaced_at = datetime.fromisoformat(then(client, alice, track, 2)["updated_at"])
    until = datetime.fromisoformat(past["audio_kept_until"])
    assert past["audio_kept"]
    assert timedelta(0) <= until - replaced_at - world.services.sweep_grace < timedelta(minutes=1)
    heard = client.get(past["audio_url"].removeprefix(world.services.base_url), headers=alice.headers)
    assert (heard.status_code, heard.content, heard.headers["content-type"]) == (200, BEFORE, "audio/mpeg")
    assert heard.headers["cache-control"] == "private, no-store"
    part = play(client, track, alice, Range="bytes=10-19")
    assert (part.status_code, part.content) == (206, BEFORE[10:20])


def test_audio_that_the_track_has_is_where_it_is_for_all(client, alice, track):
    newest = then(client, alice, track, 2)
    assert newest == client.get(f"/tracks/{track['id']}").json()
    assert (newest["audio_kept"], newest["audio_kept_until"]) == (True, None)
    assert play(client, track, alice, version=2).content == AFTER
    assert client.get(f"/tracks/{track['id']}/audio", headers=alice.headers).content == AFTER


def test_audio_of_the_past_that_another_track_has_is_kept_for_as_long(client, alice, bob, track):
    upload(client, bob, seed=1)
    past = then(client, alice, track)
    assert (past["audio_kept"], past["audio_kept_until"]) == (True, None)


def test_swept_audio_is_gone_and_says_so(world, client, alice, track):
    sweep_media(world.made.media, timedelta(0))
    past = then(client, alice, track)
    assert (past["audio_kept"], past["audio_kept_until"]) == (False, None)
    assert refusal(play(client, track, alice)) == (404, "media_not_found")


def test_the_audio_of_a_deleted_track_is_kept_for_its_owner_alone(client, alice, bob, track):
    client.delete(f"/tracks/{track['id']}", headers=alice.headers)
    assert then(client, alice, track, 2)["audio_kept"]
    assert play(client, track, alice, version=2).content == AFTER
    assert refusal(play(client, track)) == (401, "not_authenticated")
    assert refusal(play(client, track, bob)) == (404, "track_not_found")


def test_the_audio_of_a_track_that_was_taken_down_is_for_admins(client, alice, bob, admin, track):
    assert refusal(play(client, track, bob)) == (403, "not_owner")
    assert decide(client, admin, track).status_code == 200
    assert refusal(play(client, track, alice)) == (404, "media_not_found")
    assert not then(client, alice, track)["audio_kept"]
    assert play(client, track, admin).content == BEFORE
    assert then(client, admin, track)["audio_kept"]
