"""The record is made from the whole state of a track, and of nothing else."""

from typing import Any

import pytest

from aggregates.tracks.track import Track
from aggregates.values import Feature, SupportGate
from outbox.tracks.record import OWN_FIELDS, RecordUrls, TrackRecords
from tests.dsl import COLLECTION, a_track, some_artwork, some_audio, some_blob, some_feature, some_time

RECORDS = TrackRecords(RecordUrls("https://music.test"))
BARE = {
    "$type": COLLECTION,
    "title": "Track 1",
    "artist": "Alice",
    "audioUrl": "https://music.test/audio/bafkreiaudio1.mp3",
    "fileType": "mp3",
    "duration": 180,
    "createdAt": "2026-11-24T12:00:01.123Z",
    "mastertapeGen": 7,
}


def test_a_bare_track_makes_a_record_of_required_fields_only() -> None:
    assert RECORDS.record_of(a_track(), 7) == BARE


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("album", "One", {"album": "One"}),
        ("description", "text", {"description": "text"}),
        ("features", (some_feature(),), {"features": [{"did": "did:plc:carol", "handle": "carol.test"}]}),
        ("features", (Feature("did:plc:carol", None),), {"features": [{"did": "did:plc:carol"}]}),
        ("artwork", some_artwork(), {"imageUrl": "https://music.test/artwork/bafkreicover1"}),
        ("support_gate", SupportGate("any"), {"supportGate": {"type": "any"}}),
        (
            "self_labels",
            ("nudity",),
            {"labels": {"$type": "com.atproto.label.defs#selfLabels", "values": [{"val": "nudity"}]}},
        ),
        ("audio", some_audio(duration=None), {"duration": None}),
        ("created_at", "1999-01-01T00:00:00+02:00", {"createdAt": "1999-01-01T00:00:00+02:00"}),
        ("collection", "app.relay.track", {"$type": "app.relay.track"}),
        ("tags", ("jazz",), {}),
        ("unlisted", True, {}),
    ],
)
def test_each_field_adds_what_it_means_and_changes_nothing_else(
    field: str, value: Any, expected: dict[str, Any]
) -> None:
    wanted = {name: value for name, value in {**BARE, **expected}.items() if value is not None}
    assert RECORDS.record_of(a_track(**{field: value}), 7) == wanted


def with_blob(**fields: Any) -> Track:
    track = a_track(**fields)
    track.request_blob_migration(at=some_time(1))
    track.record_blob(some_blob(track.audio), at=some_time(2))
    return track


def test_a_blob_is_named_exactly_as_the_pds_returned_it() -> None:
    track = with_blob()
    assert RECORDS.record_of(track, 7) == {**BARE, "audioBlob": some_blob(track.audio).ref}


def test_a_gated_record_names_the_gated_address_and_no_blob() -> None:
    track = with_blob()
    track.set_support_gate(SupportGate("any"), at=some_time(3))
    public = RecordUrls("https://music.test", "https://cdn.test")
    assert TrackRecords(public).record_of(track, 7) == {**BARE, "supportGate": {"type": "any"}}


def test_an_open_record_names_the_public_copy_where_there_is_one() -> None:
    record = TrackRecords(RecordUrls("https://music.test", "https://cdn.test")).record_of(a_track(), 7)
    assert record["audioUrl"] == "https://cdn.test/bafkreiaudio1.mp3"


def test_a_record_has_no_fields_but_those_that_are_ours() -> None:
    track = with_blob(album="a", description="d", artwork=some_artwork(), features=(some_feature(),))
    assert RECORDS.record_of(track, 7).keys() <= OWN_FIELDS


def test_fields_of_other_clients_are_kept_and_ours_win() -> None:
    observed = {**BARE, "title": "old", "album": "removed since", "x": 1, "y": {"z": []}}
    assert RECORDS.merged(BARE, observed) == {**BARE, "x": 1, "y": {"z": []}}
    assert RECORDS.merged(BARE, None) == BARE
    theirs = {**BARE, "features": [{"did": "did:plc:carol", "handle": "carol.test", "x": 1}]}
    ours = {**BARE, "features": [{"did": "did:plc:carol"}]}
    assert RECORDS.merged(ours, theirs) == {**BARE, "features": [{"did": "did:plc:carol", "x": 1}]}
