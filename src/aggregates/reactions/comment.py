"""What an account says at a place of a track's audio."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from aggregates import published_events
from aggregates.published import Published
from aggregates.reactions import reaction
from aggregates.reactions.reaction import Reaction


class Created(reaction.Created):
    TOPIC = "comment.created.v1"
    did: str
    comment_id: int
    track_id: int | None
    track_uri: str
    track_cid: str | None
    text: str
    timestamp_ms: int
    created_at: str
    collection: str
    rkey: str


class Adopted(published_events.Adopted, Created):
    TOPIC = "comment.adopted.v1"


class Edited(published_events.Edited):
    """While the track has no record, which a CID would name, the comment has none either."""

    TOPIC = "comment.edited.v1"
    track_cid: str | None

    def touches_record(self) -> bool:
        return self.track_cid is not None


class Comment(Reaction, created_event_name="Created"):
    TOPIC = "comment"
    METADATA = ("text", "timestamp_ms")
    SHOWN = (*METADATA, "track_id", "track_uri", "track_cid", *Published.SHOWN)

    Created = Created
    Adopted = Adopted
    Edited = Edited

    comment_id: int
    text: str
    timestamp_ms: int
    """The place in the audio."""

    def __init__(self) -> None:
        super().__init__()
        self.edited_at: datetime | None = None

    def edit(self, changes: Mapping[str, Any], *, at: datetime) -> None:
        """Set the given fields of METADATA, checked values, where they differ."""
        self.require_live()
        if stored := self.stored_changes(changes):
            self.trigger_event(Comment.Edited, changes=stored, track_cid=self.track_cid, timestamp=at)
