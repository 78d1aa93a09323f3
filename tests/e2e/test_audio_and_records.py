"""Records that exist or come back, and access to gated and deleted audio; edits are in tests/incidents/test_edits.py."""

import httpx
import pytest

from demo.media import cover
from devpds.server import DevPds
from tests.e2e.artist import MIGRATE, RESTORE, Artist
from tests.e2e.conftest import ONE_DATABASE, NewArtist

pytestmark = [pytest.mark.pds, ONE_DATABASE]

EVERYTHING = {
    "title": "First Take",
    "description": "Recorded in one go.",
    "album": "Pressings",
    "tags": '["demo"]',
    "self_labels": '["explicit"]',
}


@pytest.fixture
def full(artist: Artist) -> Artist:
    """An artist whose track has a value in every field, and its audio on the PDS."""
    artist.uploads(**EVERYTHING, features=f'["{artist.friend}"]')
    artist.client.set_artwork(artist.track_id, cover("teal", "gold"))
    assert artist.asks(MIGRATE).is_success
    artist.agreed()
    return artist


def test_a_record_that_is_there_is_not_restored(full: Artist) -> None:
    reply = full.asks(RESTORE)
    assert (reply.status_code, reply.json()["detail"]["error"]) == (400, "already_has_record")
    assert reply.json()["detail"]["uri"] == full.record_uri


def test_a_restored_record_has_its_audio_on_the_pds_again(full: Artist) -> None:
    before = full.record
    full.loses_the_record()
    assert full.asks(RESTORE).is_success
    after = full.agreed()
    assert after == before | {"mastertapeGen": after["mastertapeGen"]}


def test_gated_audio_is_for_supporters_only(artist: Artist, new_artist: NewArtist, pds: DevPds) -> None:
    listener = new_artist(pds)
    artist.uploads(support_gate='{"type": "any"}')
    url = artist.agreed()["audioUrl"]
    assert artist.client.http.get(url).status_code == 200
    assert httpx.get(url).status_code == 401
    assert (listener.client.http.get(url).status_code, artist.asks(MIGRATE).status_code) == (402, 400)


def test_the_audio_of_a_deleted_track_is_not_served(artist: Artist) -> None:
    track = artist.uploads()
    assert httpx.get(track["audio_url"]).is_success
    artist.client.delete(artist.track_id)
    assert httpx.get(track["audio_url"]).status_code == 404
