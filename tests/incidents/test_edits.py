"""An edit changes in a record what it names and nothing else."""

import copy

import pytest

from demo.story import COLLECTION, wait_for_delivery
from tests.e2e.artist import MIGRATE, RESTORE, Artist
from tests.faults.faults import answer
from tests.faults.proxy import FaultProxy
from tests.incidents.conftest import EVERYTHING
from tests.incidents.records import somebody_puts, told, types
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


@pytest.mark.parametrize("form", [False, True], ids=["json", "form"])
def test_inc_13_an_empty_string_clears_a_field(full: Artist, form: bool) -> None:
    expected, path = told(full.record), f"/tracks/{full.track_id}"
    for field, name in (("description", "description"), ("album", "album"), ("self_labels", "labels")):
        body = {"files": {field: (None, "")}} if form else {"json": {field: ""}}

        reply = full.client.http.patch(path, **body)

        assert reply.status_code == 200
        assert not reply.json()[field]
        del expected[name]
        assert told(full.agreed()) == expected


def test_inc_15_fields_of_other_apps_stay_in_the_record(published: Artist) -> None:
    theirs = (published.record or {}) | {"com.example.mood": {"val": "blue"}}
    somebody_puts(published, theirs)

    published.edits(title="Second Thoughts")

    assert wait_for_delivery(published)["state"] == "delivered"
    assert told(published.record) == told(theirs) | {"title": "Second Thoughts"}
    assert "ForeignEditObserved" not in types(published)


def test_inc_28_a_change_is_undone_without_a_new_track(full: Artist) -> None:
    first, uri, version = told(full.record), full.record_uri, len(types(full))
    for title in ("Second Thoughts", "Third Wind"):
        full.edits(title=title, description="")
    full.edits(remove_image=True)

    path = f"/tracks/{full.track_id}/revert"
    assert full.client.http.post(path, json={"to_version": version}).is_success

    assert told(full.agreed()) == first
    assert types(full)[version:] == ["MetadataUpdated"] * 2 + [
        "ArtworkRemoved",
        "MetadataUpdated",
        "ArtworkReplaced",
    ]
    assert [each["uri"] for each in full.pds.list_records(full.did, COLLECTION)] == [uri]


def test_inc_34_a_reference_to_the_record_is_the_one_that_the_pds_has(published: Artist) -> None:
    """There are no lists of tracks here; what a list would hold of a track is its URI and CID."""
    for title in ("Second Thoughts", "Third Wind"):
        published.edits(title=title)
        published.agreed()

        track = published.client.track(published.track_id)

        found = published.pds.get_record(published.did, COLLECTION, published.rkey) or {}
        assert (track["atproto_record_uri"], track["atproto_record_cid"]) == (found["uri"], found["cid"])
