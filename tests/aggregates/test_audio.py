"""The rule book: the audio of a track, and its copy on the PDS."""

import pytest

from aggregates.errors import GatedTrackError
from aggregates.tracks.track import Track
from aggregates.values import SupportGate
from tests.aggregates.tracks.test_track import COMMANDS, delete
from tests.dsl import Step, a_track, fact, given, some_audio, some_blob, some_time

NOW = some_time(60)
GATE = SupportGate("any")
request_blob, set_gate = COMMANDS["request_blob_migration"], COMMANDS["set_support_gate"]


def blob_arrives(track: Track) -> None:
    track.record_blob(some_blob(), at=NOW)


def lose_blob(track: Track) -> None:
    track.record_blob_lost("too_large", at=NOW)


def test_other_audio_ends_the_blob_of_the_earlier_and_what_was_said_of_it() -> None:
    track = (
        given(a_track(), blob_arrives)
        .when(lambda t: t.replace_audio(some_audio(2), at=NOW))
        .then(fact(Track.AudioReplaced, audio=some_audio(2)))
    )
    assert (track.audio, track.blob) == (some_audio(2), None)
    failed = (
        given(a_track(), request_blob, lambda t: t.record_blob_failure("BlobTooLarge", final=False, at=NOW))
        .when(lambda t: t.replace_audio(some_audio(2), at=NOW))
        .then(fact(Track.AudioReplaced, audio=some_audio(2)))
    )
    assert (failed.blob_requested, failed.blob_failure) == (False, None)


def test_the_same_bytes_are_no_other_audio() -> None:
    given(a_track()).when(lambda t: t.replace_audio(some_audio(1, duration=None), at=NOW)).then()


def test_a_blob_is_asked_for_once() -> None:
    track = given(a_track()).when(request_blob, request_blob).then(Track.BlobMigrationRequested)
    assert track.blob_requested


def test_a_blob_that_is_there_is_not_asked_for() -> None:
    given(a_track(), blob_arrives).when(request_blob).then()


def test_a_gated_track_does_not_ask_for_a_blob() -> None:
    given(a_track(), set_gate).when(request_blob).raises(GatedTrackError)


def test_a_blob_that_arrives_is_named_once_and_ends_the_request_and_the_failure() -> None:
    track = (
        given(a_track(), request_blob, lambda t: t.record_blob_failure("Timeout", final=False, at=NOW))
        .when(blob_arrives, blob_arrives)
        .then(fact(Track.BlobMigrated, blob=some_blob()))
    )
    assert (track.blob, track.blob_requested, track.blob_failure) == (some_blob(), False, None)


@pytest.mark.parametrize(
    "meanwhile",
    [delete, set_gate, lambda t: t.replace_audio(some_audio(2), at=NOW)],
    ids=["deleted", "gated", "other audio"],
)
def test_a_blob_that_comes_too_late_is_not_named(meanwhile: Step) -> None:
    track = given(a_track(), request_blob, meanwhile).when(blob_arrives).then()
    assert not track.blob_accepts(some_audio(1).cid)


@pytest.mark.parametrize("final", [True, False])
def test_a_failure_is_recorded_and_ends_the_request_when_it_is_final(final: bool) -> None:
    track = (
        given(a_track(), request_blob)
        .when(lambda t: t.record_blob_failure("BlobTooLarge", final=final, at=NOW))
        .then(fact(Track.BlobMigrationFailed, reason="BlobTooLarge", final=final))
    )
    assert (track.blob_failure, track.blob_requested) == ("BlobTooLarge", not final)


def test_asking_again_forgets_the_failure() -> None:
    track = (
        given(a_track(), request_blob, lambda t: t.record_blob_failure("BlobTooLarge", final=True, at=NOW))
        .when(request_blob)
        .then(Track.BlobMigrationRequested)
    )
    assert (track.blob_failure, track.blob_requested) == (None, True)


def test_a_blob_that_the_pds_lost_and_does_not_want_is_named_no_more_and_may_be_asked_for_again() -> None:
    track = (
        given(a_track(), request_blob, blob_arrives)
        .when(lose_blob, lose_blob)
        .then(fact(Track.BlobLost, reason="too_large"))
    )
    assert (track.blob, track.blob_requested, track.blob_failure) == (None, False, "too_large")
    request_blob(track)
    assert (track.blob_requested, track.blob_failure) == (True, None)


def test_a_gate_keeps_the_blob_for_the_day_it_is_removed() -> None:
    track = (
        given(a_track(), blob_arrives)
        .when(set_gate, lambda t: t.set_support_gate(None, at=NOW))
        .then(fact(Track.SupportGateSet, gate=GATE), Track.SupportGateRemoved)
    )
    assert track.blob == some_blob()
    assert track.blob_accepts(some_audio().cid)
