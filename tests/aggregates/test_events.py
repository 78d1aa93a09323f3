"""What events say to the relay, the sweep, and clients with an ETag."""

import pytest

from aggregates.tracks.track import Track, media_cids
from tests.aggregates.tracks.test_track import COMMANDS, NOW
from tests.dsl import (
    START,
    Step,
    a_track,
    an_adopted_track,
    event_classes,
    some_artwork,
    some_audio,
    some_blob,
)
from tests.every_event import events_of_a_track

BY_A_PERSON: dict[str, Step] = {
    **COMMANDS,
    "delete": lambda t: t.delete(at=NOW),
    "take_down": lambda t: t.take_down("a claim", at=NOW),
}
BY_THE_RELAY: dict[str, Step] = {
    "record_blob": lambda t: t.record_blob(some_blob(), at=NOW),
    "record_blob_failure": lambda t: t.record_blob_failure("Timeout", final=False, at=NOW),
    "record_blob_lost": lambda t: t.record_blob_lost("too_large", at=NOW),
    "record_missing": lambda t: t.record_missing(observed_at=NOW),
    "record_foreign_edit": lambda t: t.record_foreign_edit("bafyforeign", observed_at=NOW),
}


def test_the_record_is_written_again_because_of_these_events() -> None:
    events = events_of_a_track()
    assert set(events) == set(event_classes())
    touching = {name for name, event in events.items() if event.touches_record()}
    of_metadata = {"Created", "MetadataUpdated", "ArtworkReplaced", "ArtworkRemoved", "AudioReplaced"}
    of_record = {"BlobMigrated", "BlobLost", "RecordRestored", "NamespaceMigrated", "Deleted", "Undeleted"}
    assert touching == {*of_metadata, "SupportGateSet", "SupportGateRemoved", *of_record}


def test_an_adopted_track_is_a_new_generation_that_needs_no_write() -> None:
    events = events_of_a_track()
    new = {name for name, event in events.items() if event.sets_generation()}
    written = {name for name, event in events.items() if event.touches_record()}
    assert new - written == {"Adopted", "ForeignEditAdopted"}
    assert written <= new


def test_tags_alone_are_not_in_the_record() -> None:
    for changes, touches in (({"tags": ("a",)}, False), ({"tags": ("a",), "title": "new"}, True)):
        track = a_track()
        track.edit(changes, at=NOW)
        event = track.collect_events()[-1]
        assert isinstance(event, Track.Event)
        assert event.touches_record() is touches


@pytest.mark.parametrize("name", BY_THE_RELAY)
def test_what_the_relay_found_out_moves_neither_visible_version_nor_time(name: str) -> None:
    track = an_adopted_track(audio=some_audio(), blob=some_blob(some_audio(2)))
    BY_THE_RELAY[name](track)
    assert (track.version, track.visible_version, track.updated_at) == (2, 1, START)


@pytest.mark.parametrize("name", BY_A_PERSON)
def test_what_a_person_did_moves_visible_version_and_time(name: str) -> None:
    track = a_track()
    BY_A_PERSON[name](track)
    assert (track.version, track.visible_version, track.updated_at) == (2, 2, NOW)


def test_a_track_names_the_bytes_it_needs() -> None:
    assert list(media_cids(a_track())) == [some_audio(1).cid]
    cover = some_artwork(2)
    assert list(media_cids(a_track(artwork=cover))) == [some_audio(1).cid, cover.cid, cover.thumbnail_cid]
