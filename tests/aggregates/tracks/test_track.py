"""The rule book: what may happen to a track, and what then has happened."""

import pytest

from aggregates.errors import DeletedError, UndecidedForeignEditError
from aggregates.tracks.track import Track
from aggregates.values import Downloads, SupportGate
from tests.dsl import (
    COLLECTION,
    OLD_COLLECTION,
    START,
    Step,
    a_track,
    adopted_fields,
    an_adopted_track,
    fact,
    given,
    some_artwork,
    some_audio,
    some_feature,
    some_time,
    track_fields,
)

NOW = some_time(60)
GATE = SupportGate("any")

COMMANDS: dict[str, Step] = {
    "edit": lambda t: t.edit({"title": "new"}, at=NOW),
    "set_artwork": lambda t: t.set_artwork(some_artwork(), at=NOW),
    "set_support_gate": lambda t: t.set_support_gate(GATE, at=NOW),
    "set_unlisted": lambda t: t.set_unlisted(True, at=NOW),
    "set_downloads": lambda t: t.set_downloads(Downloads.OFF, at=NOW),
    "replace_audio": lambda t: t.replace_audio(some_audio(2), at=NOW),
    "request_blob_migration": lambda t: t.request_blob_migration(at=NOW),
    "restore_record": lambda t: t.restore_record(at=NOW),
    "adopt_foreign_edit": lambda t: t.adopt_foreign_edit("bafyforeign", {"title": "theirs"}, at=NOW),
    "migrate_namespace": lambda t: t.migrate_namespace("new.collection", at=NOW),
}


def delete(track: Track) -> None:
    track.delete(at=NOW)


def undelete(track: Track) -> None:
    track.undelete(at=NOW)


def record_goes_missing(track: Track) -> None:
    track.record_missing(observed_at=some_time(30))


def edited_elsewhere(track: Track) -> None:
    track.record_foreign_edit("bafyone", observed_at=some_time(30))


def edited_elsewhere_again(track: Track) -> None:
    track.record_foreign_edit("bafytwo", observed_at=some_time(31))


# A track begins.


def test_a_new_track_has_what_was_uploaded_and_nothing_else() -> None:
    fields = track_fields(artwork=some_artwork(), tags=("a",), features=(some_feature(),))
    track = Track.register(at=START, **fields)
    assert {name: getattr(track, name) for name in fields} == fields
    assert (track.blob, track.blob_requested, track.blob_failure) == (None, False, None)
    assert (track.deleted_at, track.record_missing_since) == (None, None)
    assert (track.version, track.visible_version, track.updated_at) == (1, 1, START)


# Metadata.


def test_metadata_events_carry_only_what_changed() -> None:
    changes = {"title": "new", "album": None, "tags": ("a",), "description": "same"}
    track = (
        given(a_track(album="old", description="same"))
        .when(lambda t: t.edit(changes, at=NOW))
        .then(fact(Track.Edited, changes={"title": "new", "album": None, "tags": ["a"]}))
    )
    assert (track.title, track.album, track.tags) == ("new", None, ("a",))
    assert (track.description, track.artist) == ("same", "Alice")


@pytest.mark.parametrize(("field", "value"), [("title", "new"), ("tags", ("a", "b"))])
def test_a_text_and_a_list_of_the_metadata_can_be_set_and_setting_them_again_is_no_change(
    field: str, value: object
) -> None:
    def set_field(track: Track) -> None:
        track.edit({field: value}, at=NOW)

    stored = list(value) if isinstance(value, tuple) else value
    track = given(a_track()).when(set_field, set_field).then(fact(Track.Edited, changes={field: stored}))
    assert getattr(track, field) == value


def test_the_order_of_features_and_tags_is_a_change() -> None:
    given(a_track(tags=("a", "b"))).when(lambda t: t.edit({"tags": ("b", "a")}, at=NOW)).then(
        fact(Track.Edited, changes={"tags": ["b", "a"]})
    )


def test_the_artists_name_is_as_of_the_upload() -> None:
    given(a_track()).when(lambda t: t.edit({"artist": "Bob", "rkey": "x"}, at=NOW)).then()


# Artwork.


def test_artwork_is_set_replaced_and_removed() -> None:
    track = (
        given(a_track())
        .when(
            lambda t: t.set_artwork(some_artwork(1), at=NOW),
            lambda t: t.set_artwork(some_artwork(1), at=NOW),
            lambda t: t.set_artwork(some_artwork(2), at=NOW),
            lambda t: t.set_artwork(None, at=NOW),
            lambda t: t.set_artwork(None, at=NOW),
        )
        .then(
            fact(Track.ArtworkReplaced, artwork=some_artwork(1)),
            fact(Track.ArtworkReplaced, artwork=some_artwork(2)),
            Track.ArtworkRemoved,
        )
    )
    assert track.artwork is None


# Support gate and visibility.


def test_a_gate_is_set_and_removed() -> None:
    given(a_track()).when(
        lambda t: t.set_support_gate(None, at=NOW),
        COMMANDS["set_support_gate"],
        COMMANDS["set_support_gate"],
        lambda t: t.set_support_gate(None, at=NOW),
        lambda t: t.set_support_gate(None, at=NOW),
    ).then(fact(Track.SupportGateSet, gate=GATE), Track.SupportGateRemoved)


def test_a_track_is_unlisted_and_listed_again() -> None:
    given(a_track()).when(
        lambda t: t.set_unlisted(False, at=NOW),
        lambda t: t.set_unlisted(True, at=NOW),
        lambda t: t.set_unlisted(True, at=NOW),
        lambda t: t.set_unlisted(False, at=NOW),
    ).then(fact(Track.VisibilityChanged, unlisted=True), fact(Track.VisibilityChanged, unlisted=False))


def test_a_change_of_who_may_download_is_an_event_and_the_same_again_is_none() -> None:
    given(a_track()).when(
        lambda t: t.set_downloads(Downloads.OPEN, at=NOW),
        lambda t: t.set_downloads(Downloads.OFF, at=NOW),
        lambda t: t.set_downloads(Downloads.OFF, at=NOW),
        lambda t: t.set_downloads(Downloads.OPEN, at=NOW),
    ).then(fact(Track.DownloadsChanged, downloads="off"), fact(Track.DownloadsChanged, downloads="open"))


# The record on the PDS.


def test_a_missing_record_is_recorded_once_with_the_time_it_was_missed() -> None:
    track = (
        given(a_track())
        .when(record_goes_missing, record_goes_missing)
        .then(fact(Track.RecordMissing, observed_at=some_time(30)))
    )
    assert track.record_missing_since == some_time(30)


def test_the_record_of_a_deleted_track_is_not_missed() -> None:
    given(a_track(), delete).when(record_goes_missing).then()


def test_the_same_foreign_edit_is_recorded_once() -> None:
    track = (
        given(a_track())
        .when(edited_elsewhere, edited_elsewhere, edited_elsewhere_again, edited_elsewhere_again)
        .then(fact(Track.ForeignEditObserved, cid="bafyone"), fact(Track.ForeignEditObserved, cid="bafytwo"))
    )
    assert track.foreign_edit == "bafytwo"


@pytest.mark.parametrize("decision", ["adopt_foreign_edit", "restore_record"])
def test_a_foreign_edit_that_comes_again_after_its_owner_decided_is_recorded_again(decision: str) -> None:
    track = given(a_track(), edited_elsewhere, COMMANDS[decision]).when(edited_elsewhere).then(
        fact(Track.ForeignEditObserved, cid="bafyone")
    )  # fmt: skip
    assert track.foreign_edit == "bafyone"


@pytest.mark.parametrize("end", [delete, record_goes_missing])
def test_a_foreign_edit_ends_with_its_record(end: Step) -> None:
    track = given(a_track(), edited_elsewhere, end).track
    assert track.foreign_edit is None


def test_only_the_foreign_edit_that_is_undecided_can_be_withdrawn() -> None:
    given(a_track(), edited_elsewhere, edited_elsewhere_again).when(
        lambda t: t.record_foreign_edit_withdrawn("bafyone", observed_at=NOW),
        lambda t: t.record_foreign_edit_withdrawn("bafytwo", observed_at=NOW),
        lambda t: t.record_foreign_edit_withdrawn("bafytwo", observed_at=NOW),
    ).then(fact(Track.ForeignEditWithdrawn, cid="bafytwo"))


def test_of_a_foreign_edit_only_what_is_new_is_adopted() -> None:
    theirs = {"title": "theirs", "album": "same", "features": (some_feature(),), "description": None}
    track = (
        given(a_track(album="same", description="ours"), edited_elsewhere)
        .when(lambda t: t.adopt_foreign_edit("bafyone", theirs, at=NOW))
        .then(
            fact(
                Track.ForeignEditAdopted,
                cid="bafyone",
                changes={"title": "theirs", "features": [some_feature()], "description": None},
            )
        )
    )
    assert (track.title, track.album, track.features) == ("theirs", "same", (some_feature(),))
    assert (track.description, track.foreign_edit) == (None, None)


def test_a_decision_for_theirs_is_an_event_although_it_changes_nothing_here() -> None:
    given(a_track(), edited_elsewhere).when(
        lambda t: t.adopt_foreign_edit("bafyone", {"title": t.title}, at=NOW)
    ).then(fact(Track.ForeignEditAdopted, cid="bafyone", changes={}))


def test_a_restored_record_is_no_longer_missing() -> None:
    track = given(a_track(), record_goes_missing).when(COMMANDS["restore_record"]).then(Track.RecordRestored)
    assert track.record_missing_since is None


# The end, and back.


def test_deleting_is_one_event_and_undeleting_brings_everything_back() -> None:
    before = a_track(tags=("a",), artwork=some_artwork())
    track = given(before).when(delete, delete, undelete, undelete).then(Track.Deleted, Track.Undeleted)
    assert track.deleted_at is None
    assert (track.title, track.tags, track.artwork) == ("Track 1", ("a",), some_artwork())


def test_a_deleted_track_says_since_when_and_no_longer_misses_its_record() -> None:
    track = given(a_track(), record_goes_missing).when(delete).then(Track.Deleted)
    assert (track.deleted_at, track.record_missing_since) == (NOW, None)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_deleted_track_takes_no_command_but_undelete(name: str) -> None:
    given(a_track(), delete).when(COMMANDS[name]).raises(DeletedError)


def test_an_adopted_track_is_what_its_record_says() -> None:
    track = an_adopted_track(album="old", tags=(), image_url="https://elsewhere.test/cover")
    assert (track.adopted, track.created_at, track.album) == (True, adopted_fields()["created_at"], "old")
    assert (track.collection, track.visible_version) == (OLD_COLLECTION, 1)
    assert not a_track().adopted


def test_a_cover_of_ours_takes_the_place_of_one_elsewhere_and_removing_it_is_a_change() -> None:
    elsewhere = "https://elsewhere.test/cover"
    given(an_adopted_track(image_url=elsewhere)).when(lambda t: t.set_artwork(None, at=NOW)).then(
        Track.ArtworkRemoved
    )
    replaced = given(an_adopted_track(image_url=elsewhere)).when(
        lambda t: t.set_artwork(some_artwork(), at=NOW)
    )
    assert replaced.then(fact(Track.ArtworkReplaced, artwork=some_artwork())).image_url is None


def test_a_record_moves_to_another_collection_under_its_key_and_what_it_left_is_remembered() -> None:
    track = an_adopted_track()
    moved = given(track, record_goes_missing).when(lambda t: t.migrate_namespace(COLLECTION, at=NOW))
    moved.then(
        fact(
            Track.NamespaceMigrated,
            old_collection=OLD_COLLECTION,
            collection=COLLECTION,
            rkey=adopted_fields()["rkey"],
        )
    )
    assert (track.collection, track.former_collections) == (COLLECTION, (OLD_COLLECTION,))
    assert track.record_missing_since is None


def test_a_record_that_moved_there_does_not_move_again() -> None:
    given(a_track()).when(lambda t: t.migrate_namespace(COLLECTION, at=NOW)).then()


def test_a_record_that_the_pds_has_elsewhere_moves_to_where_the_track_says_it_is() -> None:
    track = a_track()
    moved = given(track).when(
        lambda t: t.migrate_namespace(COLLECTION, old_collection=OLD_COLLECTION, at=NOW)
    )
    where = {"old_collection": OLD_COLLECTION, "collection": COLLECTION, "rkey": track.rkey}
    moved.then(fact(Track.NamespaceMigrated, **where))
    assert (track.collection, track.former_collections) == (COLLECTION, (OLD_COLLECTION,))


def test_a_record_that_moves_back_has_not_left_the_place() -> None:
    track = an_adopted_track()
    track.migrate_namespace(COLLECTION, at=NOW)
    track.migrate_namespace(OLD_COLLECTION, at=NOW)
    assert (track.collection, track.former_collections) == (OLD_COLLECTION, (COLLECTION,))


def test_a_record_with_an_undecided_foreign_edit_does_not_move() -> None:
    given(an_adopted_track(), edited_elsewhere).when(
        lambda t: t.migrate_namespace(COLLECTION, at=NOW)
    ).raises(UndecidedForeignEditError)
