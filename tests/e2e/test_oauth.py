"""OAuth with the service as a process and the real PDS, without a browser."""

import pytest

from demo.story import migrate, wait_for_delivery
from tests.e2e.conftest import ONE_DATABASE
from tests.e2e.oauth_visitor import Visitor, wav

pytestmark = [pytest.mark.pds, ONE_DATABASE]


def test_what_an_artist_uploads_is_written_and_its_audio_streamed_to_their_pds(oauth_artist):
    sound = wav(20)
    track = oauth_artist.client.upload(sound, title="Long Take")
    oauth_artist.track_id, oauth_artist.record_uri = track["id"], track["atproto_record_uri"]
    assert oauth_artist.agreed()["title"] == "Long Take"
    oauth_artist.plays(migrate)
    blob = oauth_artist.agreed()["audioBlob"]
    assert blob["size"] == len(sound)
    assert oauth_artist.pds.get_blob(oauth_artist.did, blob["ref"]["$link"]) == sound


def test_after_a_disconnect_edits_wait_for_the_next_sign_in(oauth_artist):
    oauth_artist.uploads()
    oauth_artist.agreed()
    http = oauth_artist.client.http
    answer = http.post("/me/disconnect")
    assert (answer.status_code, answer.json()["revoked"]) == (200, True)
    assert oauth_artist.client.me().status_code == 200, "the browser is still signed in"
    oauth_artist.edits(title="Waiting")
    assert oauth_artist.mirror["reason"] == "auth_required"
    oauth_artist.client.signs_in(oauth_artist.account)
    assert wait_for_delivery(oauth_artist)["reason"] is None
    assert oauth_artist.agreed()["title"] == "Waiting"


def test_a_callback_works_once(service, pds_account):
    with Visitor(service.url) as visitor:
        query = visitor.consents(pds_account)
        assert visitor.comes_back(query).status_code == 303
        assert visitor.comes_back(query).status_code == 400
        assert visitor.me().json()["did"] == pds_account.did
