"""An edit changes in a record what it names and nothing else, and a record that another client cut short changes no more."""

import copy

import pytest

from tests.e2e.artist import MIGRATE, RESTORE, Artist
from tests.e2e.eventually import eventually
from tests.faults.faults import answer
from tests.faults.proxy import FaultProxy
from tests.incidents.conftest import EVERYTHING
from tests.incidents.records import somebody_puts, told
from tests.media_samples import samples

pytestmark = pytest.mark.pds


def test_inc_01_an_edit_keeps_the_audio(full: Artist) -> None:
    before = told(full.record)

    full.edits(title="Second Thoughts")

    after = full.agreed()
    assert told(after) == before | {"title": "Second Thoughts"}
    assert full.blob_is_served(after or {})


def test_inc_09_whatever_changes_the_record_is_as_old_as_before(full: Artist) -> None:
    born = told(full.record)["createdAt"]

    def loses_and_restores() -> None:
        full.loses_the_record()
        assert full.asks(RESTORE).is_success

    def replaces_the_audio() -> None:
        path = f"/tracks/{full.track_id}/audio"
        assert full.client.http.put(path, files={"file": ("b.mp3", samples.mp3(99))}).is_success

    def goes_back() -> None:
        path = f"/tracks/{full.track_id}/revert"
        assert full.client.http.post(path, json={"to_version": 1}).is_success

    for change in (
        lambda: full.edits(title="Second Thoughts"),
        lambda: full.edits(album="Pressings, Vol. 2"),
        loses_and_restores,
        replaces_the_audio,
        goes_back,
    ):
        change()
        assert told(full.agreed())["createdAt"] == born


def test_inc_10_an_album_is_renamed_track_by_track_though_the_pds_breaks_down_in_the_middle(
    artist: Artist, proxy: FaultProxy
) -> None:
    tracks = [copy.copy(artist) for _ in range(5)]
    for track in tracks:
        track.uploads(**EVERYTHING)
        assert track.asks(MIGRATE, prefer="wait=0").status_code == 202
    before = [told(track.agreed()) for track in tracks]
    third = tracks[2].rkey
    broken = answer(500, "InternalServerError")
    proxy.on("putRecord", fault=broken, times=2, matches=lambda it: it.json["rkey"] == third)

    for track in tracks:
        track.edits(album="Pressings, Vol. 2")

    assert [told(track.agreed()) for track in tracks] == [
        each | {"album": "Pressings, Vol. 2"} for each in before
    ]
    assert all("audioBlob" in each for each in before)
    assert [it.json["rkey"] for it in proxy.passed("putRecord") if it.fault != "pass_on"] == [third] * 2


def test_inc_40_a_record_that_lost_the_address_of_its_audio_costs_the_track_nothing(
    published: Artist,
) -> None:
    before = told(published.record)
    url = published.client.track(published.track_id)["audio_url"]
    somebody_puts(
        published, {name: before[name] for name in before if name != "audioUrl"} | {"title": "Theirs"}
    )
    published.edits(album="Pressings")
    eventually(lambda: published.mirror["state"] == "held")

    path = f"/tracks/{published.track_id}/mirror/resolve"
    assert published.client.http.post(path, json={"keep": "theirs"}).is_success

    assert told(published.agreed()) == before | {"title": "Theirs", "album": "Pressings"}
    assert published.client.track(published.track_id)["audio_url"] == url
    assert published.client.http.get(url).is_success
