"""That an account likes a track, as the track's record was then."""

from datetime import datetime
from typing import Any

from aggregates import published
from aggregates.published import Published


class Created(published.Created):
    """Without a CID, which is so while the track has no record, the like has none either."""

    TOPIC = "like.created.v1"
    did: str
    like_id: int
    track_id: int | None
    track_uri: str
    track_cid: str | None
    created_at: str
    collection: str
    rkey: str

    def touches_record(self) -> bool:
        return self.track_cid is not None


class Adopted(Created):
    """The like was adopted from a record with `cid` that is on its account's PDS already."""

    TOPIC = "like.adopted.v1"
    RECREATES_RECORD = False
    cid: str

    def touches_record(self) -> bool:
        return False

    def sets_generation(self) -> bool:
        return True


class SubjectKnown(published.PublishedEvent):
    """The track has a record now, so that the like can name it."""

    TOPIC = "like.subject_known.v1"
    TOUCHES_RECORD = True
    RECREATES_RECORD = True
    BY_RELAY = True
    track_cid: str

    def assign(self, like: "Like") -> None:
        like.track_cid = self.track_cid


class Undeleted(published.Undeleted):
    """The account likes the track again; the CID stays, where there was one."""

    TOPIC = "like.undeleted.v1"
    track_cid: str | None

    def touches_record(self) -> bool:
        return self.track_cid is not None

    def assign(self, aggregate: Any, /) -> None:
        super().assign(aggregate)
        aggregate.track_cid = self.track_cid


class Like(Published, created_event_name="Created"):
    TOPIC = "like"
    METADATA = ()
    SHOWN = ("track_id", "track_uri", "track_cid", *Published.SHOWN)

    Created = Created
    Adopted = Adopted
    SubjectKnown = SubjectKnown
    Undeleted = Undeleted

    like_id: int
    track_id: int | None
    """None of one that is not here."""
    track_uri: str
    track_cid: str | None

    def __init__(self) -> None:  # the library would make another
        super().__init__()

    def like_again(self, cid: str | None, *, at: datetime) -> None:
        """Undelete it, as one of the same version of the track, or of this CID where none was known; a live one is no change.

        A live one whose record another client deleted is written again.
        """
        if self.deleted_at is not None:
            self.trigger_event(Undeleted, track_cid=self.track_cid or cid, timestamp=at)
        elif self.record_missing_since is not None:
            self.restore_record(at=at)

    def record_subject(self, cid: str, *, at: datetime) -> None:
        if self.deleted_at is None and self.track_cid is None:
            self.trigger_event(SubjectKnown, track_cid=cid, timestamp=at)
