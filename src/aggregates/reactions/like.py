"""That an account likes a track."""

from datetime import datetime

from aggregates import published_events
from aggregates.published import Published
from aggregates.reactions import reaction
from aggregates.reactions.reaction import Reaction


class Created(reaction.Created):
    TOPIC = "like.created.v1"
    did: str
    like_id: int
    track_id: int | None
    track_uri: str
    track_cid: str | None
    created_at: str
    collection: str
    rkey: str


class Adopted(published_events.Adopted, Created):
    TOPIC = "like.adopted.v1"


class Like(Reaction, created_event_name="Created"):
    TOPIC = "like"
    METADATA = ()
    SHOWN = ("track_id", "track_uri", "track_cid", *Published.SHOWN)

    Created = Created
    Adopted = Adopted

    like_id: int

    def __init__(self) -> None:  # the library would make another
        super().__init__()

    def like_again(self, cid: str | None, *, at: datetime) -> None:
        """Undelete it; a live one whose record another client deleted is written again, and any other is no change."""
        if self.deleted_at is not None:
            self.undelete(track_cid=cid, at=at)
        elif self.record_missing_since is not None:
            self.restore_record(at=at)
