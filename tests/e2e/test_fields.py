"""What an edit does not name stays as it is, and what it clears is gone: incidents of a service without a log."""

import httpx
import pytest

from demo.media import cover
from demo.story import COLLECTION, delivered
from devpds.server import DevPds
from tests.e2e.artist import MIGRATE, RESTORE, Artist
from tests.e2e.conftest import NewArtist
from tests.faults.faults import cut_after
from tests.faults.proxy import FaultProxy

pytestmark = pytest.mark.pds

EVERYTHING = {
    "title": "First Take",
    "description": "Recorded in one go.",
    "album": "Pressings",
    "tags": '["demo"]',
    "self_labels": '["explicit"]',
}


@pytest.fixture
def full(artist: Artist) -> Artist:
    """An artist whose track has something in every field, its audio on the PDS included."""
    artist.uploads(**EVERYTHING, features=f'["{artist.friend}"]')
    artist.client.set_artwork(artist.track_id, cover("teal", "gold"))
    assert artist.asks(MIGRATE).status_code == 200
    artist.agreed()
    return artist


def test_an_edit_never_deletes_the_audio(full: Artist) -> None:
    """INC-01."""
    before = full.record
    full.edits(title="Second Thoughts")
    after = full.agreed()
    assert after == before | {"title": "Second Thoughts", "mastertapeGen": after["mastertapeGen"]}
    assert full.blob_is_served(after)


@pytest.mark.parametrize("form", [False, True], ids=["json", "multipart"])
@pytest.mark.parametrize(
    ("field", "name"), [("description", "description"), ("album", "album"), ("self_labels", "labels")]
)
def test_an_empty_string_clears_a_field(full: Artist, field: str, name: str, form: bool) -> None:
    """INC-13."""
    before = full.record
    path = f"/tracks/{full.track_id}"
    body = {"files": {field: (None, "")}} if form else {"json": {field: ""}}
    reply = full.client.http.patch(path, **body)
    assert reply.status_code == 200
    assert not reply.json()[field]
    after = full.agreed()
    assert after == {key: before[key] for key in before if key != name} | {
        "mastertapeGen": after["mastertapeGen"]
    }


def test_a_restore_whose_answer_was_lost_can_be_repeated(
    new_artist: NewArtist, proxied_pds: DevPds, proxy: FaultProxy
) -> None:
    """INC-08."""
    artist = new_artist(proxied_pds)
    artist.uploads(**EVERYTHING)
    before = artist.agreed()
    artist.loses_the_record()
    proxy.on("putRecord", fault=cut_after, times=1)

    first = artist.asks(RESTORE, prefer="wait=0")
    again = artist.asks(RESTORE)

    assert first.status_code in {200, 202}
    assert (again.status_code, again.json()["restored_uri"]) == (200, artist.record_uri)
    after = artist.agreed()
    assert after == before | {"mastertapeGen": after["mastertapeGen"]}
    assert len(artist.pds.list_records(artist.did, COLLECTION)) == 1
    assert [row["type"] for row in artist.client.history(artist.track_id)].count("RecordRestored") == 1


def test_a_record_that_is_there_is_not_restored(full: Artist) -> None:
    reply = full.asks(RESTORE)
    assert (reply.status_code, reply.json()["detail"]["error"]) == (400, "already_has_record")
    assert reply.json()["detail"]["uri"] == full.record_uri


def test_a_restored_record_has_its_audio_on_the_pds_again(full: Artist) -> None:
    before = full.record
    full.loses_the_record()
    assert full.asks(RESTORE).status_code == 200
    after = full.agreed()
    assert after == before | {"mastertapeGen": after["mastertapeGen"]}


def test_gated_audio_leaves_the_pds_and_ungated_audio_returns(full: Artist, artist: Artist) -> None:
    """INC-14."""
    before, track = full.record, full.client.track(full.track_id)
    assert httpx.get(track["audio_url"]).is_success

    full.edits(support_gate={"type": "any"})

    gated = full.agreed()
    assert gated["supportGate"] == {"type": "any"}
    assert "audioBlob" not in gated
    assert gated["audioUrl"] == full.client.track(full.track_id)["audio_url"]
    assert not full.blob_is_served(before)
    assert httpx.get(gated["audioUrl"]).status_code == 401
    assert artist.client.http.get(gated["audioUrl"]).is_success

    full.edits(support_gate=None)

    after = full.agreed()
    assert after == before | {"mastertapeGen": after["mastertapeGen"]}
    assert httpx.get(after["audioUrl"]).is_success


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


def test_fields_of_other_apps_stay_in_the_record(artist: Artist) -> None:
    """INC-15."""
    artist.uploads()
    theirs = artist.agreed() | {"com.example.mood": {"val": "blue"}}
    artist.pds.put_record(artist.did, COLLECTION, artist.rkey, theirs)
    artist.edits(title="Second Thoughts")
    assert delivered(artist)["state"] == "delivered"
    after = artist.record
    assert after == theirs | {"title": "Second Thoughts", "mastertapeGen": after["mastertapeGen"]}
