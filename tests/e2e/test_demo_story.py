"""Every step of the demo's story, after the steps that it needs."""

import pytest

from demo.story import (
    clear_description,
    delete,
    edit_details,
    edit_while_the_pds_is_down,
    lose_and_restore,
    migrate,
    remove_cover,
    rename,
    replace_cover,
    set_cover,
    undelete,
    upload,
)
from tests.e2e.artist import Artist
from tests.e2e.conftest import ONE_DATABASE

pytestmark = [pytest.mark.pds, ONE_DATABASE]


def changed(before: dict, after: dict) -> set[str]:
    """The fields in which two records differ."""
    return {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}


def test_an_upload_appears_on_the_pds(artist: Artist) -> None:
    step = artist.plays(upload)
    assert step.events == ["Created"]
    assert step.record["description"] == "Recorded in one go."
    assert artist.client.http.get(step.record["audioUrl"]).headers["content-type"] == "audio/wav"


def test_a_new_title_changes_nothing_else(artist: Artist) -> None:
    before = artist.plays(upload).record
    step = artist.plays(rename)
    assert step.events == ["MetadataUpdated"]
    assert changed(before, step.record) == {"title", "mastertapeGen"}


def test_album_features_and_description_arrive_together(artist: Artist) -> None:
    step = artist.plays(upload, edit_details)
    assert step.events == ["MetadataUpdated"]
    assert [feature["did"] for feature in step.record["features"]] == [artist.friend]
    assert step.record["description"] == "A longer story.\nTwo lines."


def test_a_cleared_description_is_gone_from_the_record(artist: Artist) -> None:
    step = artist.plays(upload, clear_description)
    assert "description" not in step.record
    assert step.record["labels"]["values"] == [{"val": "explicit"}]


def test_artwork_is_named_and_served(artist: Artist) -> None:
    step = artist.plays(upload, set_cover)
    assert step.events == ["ArtworkReplaced"]
    assert artist.client.http.get(step.record["imageUrl"]).headers["content-type"].startswith("image/")


def test_other_artwork_takes_its_place(artist: Artist) -> None:
    before = artist.plays(upload, set_cover).record
    after = artist.plays(replace_cover).record
    assert changed(before, after) == {"imageUrl", "mastertapeGen"}


def test_removed_artwork_is_gone_from_the_record(artist: Artist) -> None:
    before = artist.plays(upload, set_cover).record
    step = artist.plays(remove_cover)
    assert step.events == ["ArtworkRemoved"]
    assert changed(before, step.record) == {"imageUrl", "mastertapeGen"}


def test_a_record_deleted_elsewhere_comes_back_under_its_key(artist: Artist) -> None:
    before, uri = artist.plays(upload, set_cover, edit_details).record, artist.record_uri
    step = artist.plays(lose_and_restore)
    assert step.events == ["RecordRestored"]
    assert artist.client.track(artist.track_id)["atproto_record_uri"] == uri
    assert changed(before, step.record) == {"mastertapeGen"}  # createdAt is the same to the byte


def test_migrated_audio_is_served_by_the_pds(artist: Artist) -> None:
    before = artist.plays(upload).record
    step = artist.plays(migrate)
    assert step.events == ["BlobMigrationRequested", "BlobMigrated"]
    assert changed(before, step.record) == {"audioBlob", "mastertapeGen"}
    track = artist.client.track(artist.track_id)
    assert (track["pds_blob_cid"], track["audio_storage"]) == (track["file_id"], "both")
    assert (
        artist.pds.get_blob(artist.did, track["file_id"])
        == artist.client.http.get(track["audio_url"]).content
    )


def test_edits_made_while_the_pds_is_down_arrive_when_it_is_back(artist: Artist) -> None:
    before = artist.plays(upload, migrate).record
    step = artist.plays(edit_while_the_pds_is_down)
    assert step.events == ["MetadataUpdated"] * 2
    assert changed(before, step.record) == {"title", "album", "mastertapeGen"}


def test_a_deleted_track_has_no_record_and_is_not_found(artist: Artist) -> None:
    before = artist.plays(upload, migrate).record
    step = artist.plays(delete)
    assert step.events == ["Deleted"]
    assert step.record is None
    assert artist.gets().status_code == 404
    assert not artist.blob_is_served(before)


def test_an_undeleted_track_is_all_back(artist: Artist) -> None:
    before = artist.plays(upload, edit_details, set_cover, migrate).record
    artist.plays(delete)
    step = artist.plays(undelete)
    assert step.events[0] == "Undeleted"
    assert changed(before, step.record) == {"mastertapeGen"}
    assert artist.client.http.get(step.record["audioUrl"]).is_success
    assert artist.client.http.get(step.record["imageUrl"]).is_success
