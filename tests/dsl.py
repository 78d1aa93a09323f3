"""The language of the tests: tracks, their fields, and given-when-then."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aggregates import published, published_events
from aggregates.comment import Comment
from aggregates.like import Like
from aggregates.profile import Profile
from aggregates.release import Release
from aggregates.release_events import ReleaseEvent
from aggregates.track import Track
from aggregates.track_list import TrackList
from aggregates.values import (
    Artwork,
    Audio,
    BlobRef,
    Downloads,
    Feature,
    ListItem,
    ReleaseFile,
    SupportGate,
    Visibility,
    tid_of,
)

ALICE, BOB = "did:plc:alice", "did:plc:bob"
START = datetime(2026, 11, 24, 12, 0, 0, 123456, tzinfo=UTC)
COLLECTION, OLD_COLLECTION = "fm.plyr.track", "app.relay.track"
LISTS = "fm.plyr.list"
A_RECORD = {
    "uri": "at://did:plc:bob/fm.plyr.track/3kabc",
    "cid": "bafyreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq",
}

Step = Callable[[Track], None]
Fact = tuple[type[published_events.PublishedEvent], dict[str, Any]]


def some_time(seconds: float = 0) -> datetime:
    """START plus so many seconds."""
    return START + timedelta(seconds=seconds)


def some_audio(number: int = 1, **fields: Any) -> Audio:
    """Audio whose CID contains its number."""
    audio = Audio(
        f"bafkreiaudio{number}", size=1000 + number, mime="audio/mpeg", file_type="mp3", duration=180
    )
    return replace(audio, **fields)


def some_artwork(number: int = 1, **fields: Any) -> Artwork:
    """A cover whose CIDs contain its number."""
    cid, thumbnail = f"bafkreicover{number}", f"bafkreithumb{number}"
    return replace(Artwork(cid, mime="image/png", size=500 + number, thumbnail_cid=thumbnail), **fields)


def some_blob(audio: Audio | None = None) -> BlobRef:
    """What the PDS returns for an upload of this audio."""
    cid = (audio or some_audio()).cid
    return BlobRef(cid, {"$type": "blob", "ref": {"$link": cid}, "mimeType": "audio/mpeg", "size": 1001})


def some_feature(name: str = "carol") -> Feature:
    return Feature(did=f"did:plc:{name}", handle=f"{name}.test")


def track_fields(track_id: int = 1, **fields: Any) -> dict[str, Any]:
    """The fields of Created, but for its time; audio and rkey differ from track to track."""
    created_at = some_time(track_id)
    return {
        "did": ALICE,
        "track_id": track_id,
        "title": f"Track {track_id}",
        "artist": "Alice",
        "audio": some_audio(track_id),
        "album": None,
        "features": (),
        "tags": (),
        "description": None,
        "artwork": None,
        "support_gate": None,
        "unlisted": False,
        "self_labels": (),
        "created_at": created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "collection": COLLECTION,
        "rkey": tid_of(created_at),
        **fields,
    }


def a_track(track_id: int = 1, *, at: datetime = START, **fields: Any) -> Track:
    """A new track, its creation still to be saved."""
    return Track.register(at=at, **track_fields(track_id, **fields))


def adopted_fields(track_id: int = 2, **fields: Any) -> dict[str, Any]:
    """The fields of Adopted, but for its time."""
    made = track_fields(track_id, collection=OLD_COLLECTION)
    uri = f"at://{made['did']}/{made['collection']}/{made['rkey']}"
    return {**made, "uri": uri, "cid": "bafyrecord", "blob": None, "image_url": None, **fields}


def a_like(like_id: int = 1, *, at: datetime = START, kind: str = "register", **fields: Any) -> Like:
    """Alice likes Bob's track 2."""
    given = {
        "did": ALICE,
        "like_id": like_id,
        "track_id": 2,
        "track_uri": "at://did:plc:bobaaaaaaaaaaaaaaaaaaaaa/fm.plyr.track/3kabc",
        "track_cid": "bafytrack",
        "created_at": "2026-06-01T12:00:00.000000Z",
        "collection": "fm.plyr.like",
        "rkey": f"like{like_id}",
        **fields,
    }
    like: Like = getattr(Like, kind)(at=at, **given)
    return like


def a_comment(comment_id: int = 1, *, at: datetime = START, kind: str = "register", **fields: Any) -> Comment:
    """Alice comments on Bob's track 2."""
    given = {
        "did": ALICE,
        "comment_id": comment_id,
        "track_id": 2,
        "track_uri": "at://did:plc:bobaaaaaaaaaaaaaaaaaaaaa/fm.plyr.track/3kabc",
        "track_cid": "bafytrack",
        "text": f"Comment {comment_id}",
        "timestamp_ms": 1000,
        "created_at": "2026-06-01T12:00:00.000000Z",
        "collection": "fm.plyr.comment",
        "rkey": f"comment{comment_id}",
        **fields,
    }
    comment: Comment = getattr(Comment, kind)(at=at, **given)
    return comment


def a_profile(profile_id: int = 1, *, at: datetime = START, kind: str = "register", **fields: Any) -> Profile:
    given = {
        "did": ALICE,
        "profile_id": profile_id,
        "bio": None,
        "avatar_url": None,
        "created_at": "2026-06-01T12:00:00.000000Z",
        "collection": "fm.plyr.actor.profile",
        "rkey": "self",
        **fields,
    }
    profile: Profile = getattr(Profile, kind)(at=at, **given)
    return profile


def an_adopted_track(track_id: int = 2, *, at: datetime = START, **fields: Any) -> Track:
    """A track that was taken over from a record, its adoption still to be saved."""
    return Track.adopt(at=at, **adopted_fields(track_id, **fields))


def some_item(name: str) -> ListItem:
    """An item whose record's key is the letter; of a capital one, the PDS has the record."""
    key = name.lower()
    return ListItem(f"at://{ALICE}/{COLLECTION}/{key}", None if name == key else f"bafyreirecord{key}")


def list_fields(list_id: int = 1, **fields: Any) -> dict[str, Any]:
    """The fields of Created, but for its time; the key differs from list to list."""
    created_at = some_time(1000 + list_id)
    return {
        "did": ALICE,
        "list_id": list_id,
        "list_type": "album",
        "name": f"List {list_id}",
        "slug": f"list-{list_id}",
        "description": None,
        "release_date": None,
        "artwork": None,
        "visibility": "public",
        "follow": True,
        "record_requested": True,
        "items": (),
        "created_at": created_at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "collection": LISTS,
        "rkey": tid_of(created_at),
        **fields,
    }


def a_list(list_id: int = 1, *, at: datetime = START, **fields: Any) -> TrackList:
    """A new list, its creation still to be saved."""
    return TrackList.register(at=at, **list_fields(list_id, **fields))


def fact(event: type[published_events.PublishedEvent], **fields: Any) -> Fact:
    return event, fields


@dataclass(frozen=True)
class Given:
    track: Track
    past: tuple[Any, ...]

    def when(self, *steps: Step) -> "Outcome":
        return Outcome(self.track, self.past, steps)


@dataclass(frozen=True)
class Outcome:
    track: Track
    past: tuple[Any, ...]
    steps: tuple[Step, ...]

    def then(self, *facts: Fact | type[published_events.PublishedEvent]) -> Track:
        """Assert exactly these events, and that replaying all gives the same state; return the track."""
        self._act()
        events = self.track.collect_events()
        assert [(type(event), own_fields(event)) for event in events] == [
            fact if isinstance(fact, tuple) else (fact, {}) for fact in facts
        ]
        assert replayed([*self.past, *events]) == self.track
        return self.track

    def raises(self, error: type[Exception], *, match: str | None = None) -> None:
        with pytest.raises(error, match=match):
            self._act()
        assert not self.track.collect_events()

    def _act(self) -> None:
        for step in self.steps:
            step(self.track)


def given(track: Track, *steps: Step) -> Given:
    """Start with a track that has executed these commands."""
    for step in steps:
        step(track)
    return Given(track, tuple(track.collect_events()))


def replayed(events: Iterable[Any]) -> Any:
    subject = None
    for event in events:
        subject = event.mutate(subject)
    return subject


def own_fields(event: Any) -> dict[str, Any]:
    library = {"originator_id", "originator_version", "timestamp", "originator_topic"}
    return {name: value for name, value in vars(event).items() if name not in library}


def event_classes() -> dict[str, type[published_events.PublishedEvent]]:
    return {each.__name__: each for each in published.event_classes(Track)}


def every_event() -> list[published_events.PublishedEvent | ReleaseEvent]:
    """One event of each class of each kind of subject, in the order in which the golden events are recorded."""
    of_reactions = [*events_of_reactions(a_like), *events_of_reactions(a_comment)]
    return [
        *events_of_a_track().values(),
        *of_reactions,
        *events_of_lists(),
        *events_of_a_profile(),
        *events_of_a_release(),
    ]


def events_of_reactions(make: Callable[..., Like | Comment]) -> list[published_events.PublishedEvent]:
    """One event of each class, of the lives of two of a kind, which have the ids of their places among the golden events."""
    first, now = 3 if make is a_like else 6, some_time(60)
    made = make(first, track_cid=None)
    made.record_subject("bafytrack", at=now)
    made.record_missing(observed_at=now)
    made.record_foreign_edit_withdrawn("bafyours", observed_at=now)
    made.record_foreign_edit("bafyforeign", observed_at=now)
    made.adopt_foreign_edit("bafyforeign", {}, at=now)
    made.restore_record(at=now)
    made.migrate_namespace(f"fm.plyr.other.{made.TOPIC}", at=now)
    made.delete(at=now)
    made.undelete(track_cid="bafyother", at=now)
    made.take_down("a claim", at=now)
    made.lift_takedown("the claim was withdrawn", at=now)
    if isinstance(made, Comment):
        made.edit({"text": "new", "timestamp_ms": 2000}, at=now)
    adopted = make(first + 1, kind="adopt", cid="bafyrecord")
    events = [*made.collect_events(), *adopted.collect_events()]
    return [each for each in events if isinstance(each, published_events.PublishedEvent)]


def events_of_a_profile() -> list[published_events.PublishedEvent]:
    """One event of each class, of the lives of two profiles, which are the last of the golden events."""
    now, made = some_time(60), a_profile(8)
    made.edit({"bio": "new"}, at=now)
    made.set_avatar(some_artwork(), at=now)
    made.set_avatar(None, at=now)
    made.record_missing(observed_at=now)
    made.record_foreign_edit_withdrawn("bafyours", observed_at=now)
    made.record_foreign_edit("bafyforeign", observed_at=now)
    made.adopt_foreign_edit("bafyforeign", {"bio": "theirs"}, at=now)
    made.restore_record(at=now)
    made.migrate_namespace("fm.plyr.other.profile", at=now)
    made.take_down("a claim", at=now)
    made.lift_takedown("the claim was withdrawn", at=now)
    made.delete(at=now)
    made.undelete(at=now)
    adopted = a_profile(9, kind="adopt", cid="bafyrecord", bio="theirs", avatar_url="https://pictures.test/a")
    events = [*made.collect_events(), *adopted.collect_events()]
    return [each for each in events if isinstance(each, published_events.PublishedEvent)]


def a_release(release_id: int = 1, *, at: datetime = START, **changes: Any) -> Release:
    return Release.create(did=ALICE, release_id=release_id, changes=changes, at=at)


def some_file(which: int = 1, **fields: Any) -> ReleaseFile:
    """A file of a release whose upload and audio contain its number."""
    file = ReleaseFile(f"upload{which}", f"{which}.mp3", some_audio(which), f"Track {which}")
    return replace(file, **fields)


def events_of_a_release() -> list[ReleaseEvent]:
    """One event of each class, of the life of a release, which is the last of the golden events."""
    now, made = some_time(60), a_release(11, title="Pressings", tags=("a",), downloads=Downloads.ASK)
    made.edit({"artwork": some_artwork(), "support_gate": SupportGate("any"), "tags": ()}, at=now)
    made.add_file(some_file(1, artist="A", album="B", number=2, year=2026, artwork=some_artwork()), at=now)
    made.arrange([{"upload_id": "upload1", "title": "New", "tags": ("b",)}], at=now)
    made.schedule(some_time(90), at=now)
    made.unschedule(at=now)
    made.set_preview("9" * 64, at=now)
    made.fail(["Track 7 has this audio"], at=now)
    made.publish([1, 2], 3, at=now)
    made.delete(at=now)
    return [each for each in made.collect_events() if isinstance(each, ReleaseEvent)]


def events_of_lists() -> list[published_events.PublishedEvent]:
    """One event of each class, of the lives of two lists."""
    now, references = some_time(60), {some_item("b").uri: some_item("B")}
    made = a_list(items=(some_item("A"), some_item("b")), record_requested=False)
    made.edit({"name": "new", "release_date": "2026-11-30"}, at=now)
    made.request_record(LISTS, at=now)
    made.replace_artwork(some_artwork(), at=now)
    made.remove_artwork(at=now)
    made.add(some_item("C"), before=some_item("b").uri, at=now)
    made.move(some_item("C").uri, before=None, at=now)
    made.refresh_references(references, at=now)
    made.reorder([some_item("C"), some_item("D"), some_item("A"), some_item("B")], at=now)
    made.remove(some_item("D").uri, at=now)
    theirs = [some_item("C"), some_item("E"), some_item("A")]
    made.take_over("bafytheirs", base=[item.uri for item in made.items], theirs=theirs, observed_at=now)
    made.set_visibility(Visibility.PRIVATE, at=now)
    made.record_missing(observed_at=now)
    made.restore_record(at=now)
    made.delete(at=now)
    made.undelete(at=now)
    made.record_foreign_edit("bafyforeign", observed_at=now)
    made.record_foreign_edit_withdrawn("bafyforeign", observed_at=now)
    made.adopt_foreign_edit("bafyforeign", {"name": "theirs", "items": (some_item("A"),)}, at=now)
    made.migrate_namespace("new.collection", at=now)
    made.take_down("a claim", at=now)
    made.lift_takedown("the claim was withdrawn", at=now)
    record = {"collection": LISTS, "rkey": "3kfound", "created_at": "2019-05-04T12:03:07Z"}
    made.adopt_record("bafyfound", [some_item("F"), some_item("B")], **record, at=now)
    adopted = TrackList.adopt(at=START, **list_fields(2, cid="bafyrecord"))
    events = [*made.collect_events(), *adopted.collect_events()]
    return [each for each in events if isinstance(each, published_events.PublishedEvent)]


def events_of_a_track() -> dict[str, published_events.PublishedEvent]:
    """One event of each class, of the lives of two tracks: one that was uploaded, one that was taken over."""
    now = some_time(60)
    steps: tuple[Step, ...] = (
        lambda t: t.update_metadata({"title": "new", "album": None, "tags": ("b",)}, at=now),
        lambda t: t.replace_artwork(some_artwork(2), at=now),
        lambda t: t.remove_artwork(at=now),
        lambda t: t.set_unlisted(True, at=now),
        lambda t: t.replace_audio(some_audio(2), at=now),
        lambda t: t.request_blob_migration(at=now),
        lambda t: t.record_blob_failure("BlobTooLarge", final=False, at=now),
        lambda t: t.record_blob(some_blob(some_audio(2)), at=now),
        lambda t: t.record_missing(observed_at=now),
        lambda t: t.restore_record(at=now),
        lambda t: t.set_support_gate(SupportGate("any"), at=now),
        lambda t: t.set_support_gate(None, at=now),
        lambda t: t.delete(at=now),
        lambda t: t.undelete(at=now),
        lambda t: t.record_foreign_edit("bafyforeign", observed_at=now),
        lambda t: t.adopt_foreign_edit("bafyforeign", {"title": "theirs", "features": ()}, at=now),
    )
    track = a_track(
        album="old", features=(some_feature(),), tags=("a",), description="text", artwork=some_artwork()
    )
    for step in steps:
        step(track)
    adopted = an_adopted_track(blob=some_blob(some_audio(2)), image_url="https://elsewhere.test/cover")
    adopted.migrate_namespace(COLLECTION, at=now)
    adopted.take_down("a claim", at=now)
    adopted.refuse_bytes(at=now)
    adopted.lift_takedown("the claim was withdrawn", at=now)
    adopted.record_blob_lost("too_large", at=now)
    adopted.record_foreign_edit("bafyforeign", observed_at=now)
    adopted.record_foreign_edit_withdrawn("bafyforeign", observed_at=now)
    adopted.set_downloads(Downloads.OFF, at=now)
    adopted.set_comments(True, at=now)
    adopted.hide_comment(6, hidden=True, at=now)
    adopted.hide_comment(6, hidden=False, at=now)
    adopted.name_audio("new master", at=now)
    adopted.set_listening_key("a-key-that-nobody-can-guess", at=now)
    events = [*track.collect_events(), *adopted.collect_events()]
    return {
        type(event).__name__: event for event in events if isinstance(event, published_events.PublishedEvent)
    }
