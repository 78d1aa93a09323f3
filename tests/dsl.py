"""The language of the tests: tracks, their fields, and given-when-then."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Any

import pytest

from aggregates import published, published_events
from aggregates.accounts.profile import Profile
from aggregates.lists.track_list import TrackList
from aggregates.reactions.comment import Comment
from aggregates.reactions.like import Like
from aggregates.releases.release import Release
from aggregates.tracks.track import Track
from aggregates.values import (
    Artwork,
    Audio,
    BlobRef,
    Feature,
    ListItem,
    ReleaseFile,
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
NO_INDEX_HOLDS = f"at://did:web:{token_hex(4500)}/fm.plyr.track/x"
"""A URI that is too long for PostgreSQL's indexes; random, since it would compress others."""

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
    given = _reaction_fields("like", like_id) | fields
    like: Like = getattr(Like, kind)(at=at, **given)
    return like


def a_comment(comment_id: int = 1, *, at: datetime = START, kind: str = "register", **fields: Any) -> Comment:
    """Alice comments on Bob's track 2."""
    said = {"text": f"Comment {comment_id}", "timestamp_ms": 1000}
    given = _reaction_fields("comment", comment_id) | said | fields
    comment: Comment = getattr(Comment, kind)(at=at, **given)
    return comment


def _reaction_fields(kind: str, number: int) -> dict[str, Any]:
    return {
        "did": ALICE,
        f"{kind}_id": number,
        "track_id": 2,
        "track_uri": "at://did:plc:bobaaaaaaaaaaaaaaaaaaaaa/fm.plyr.track/3kabc",
        "track_cid": "bafytrack",
        "created_at": "2026-06-01T12:00:00.000000Z",
        "collection": f"fm.plyr.{kind}",
        "rkey": f"{kind}{number}",
    }


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


def a_release(release_id: int = 1, *, at: datetime = START, **changes: Any) -> Release:
    return Release.create(did=ALICE, release_id=release_id, changes=changes, at=at)


def some_file(which: int = 1, **fields: Any) -> ReleaseFile:
    """A file of a release whose upload and audio contain its number."""
    file = ReleaseFile(f"upload{which}", f"{which}.mp3", some_audio(which), f"Track {which}")
    return replace(file, **fields)
