"""What an account says of a track: a like or a comment. It names the track's record as that was then, and waits while there is none."""

from datetime import datetime
from typing import Any

from aggregates import published_events
from aggregates.published import Published


class Created(published_events.Created):
    """Without a CID, which is so while the track has no record, the reaction has none either."""

    def touches_record(self) -> bool:
        return vars(self)["track_cid"] is not None


class SubjectKnown(published_events.PublishedEvent):
    """The track has a record now, so that the reaction can name it."""

    TOUCHES_RECORD = True
    RECREATES_RECORD = True
    BY_RELAY = True
    track_cid: str


class Undeleted(published_events.Undeleted):
    """It is back; the CID stays, where there was one."""

    track_cid: str | None

    def touches_record(self) -> bool:
        return self.track_cid is not None

    def assign(self, aggregate: Any, /) -> None:
        super().assign(aggregate)
        aggregate.track_cid = self.track_cid


class Reaction(Published):
    """Each kind has its own Created, from that above, and Adopted."""

    SubjectKnown = SubjectKnown
    Undeleted = Undeleted

    track_id: int | None
    """None of one that is not here."""
    track_uri: str
    track_cid: str | None

    def __init__(self) -> None:  # the library would make another
        super().__init__()

    def record_subject(self, cid: str, *, at: datetime) -> None:
        if self.deleted_at is None and self.track_cid is None:
            self.trigger_event(self.SubjectKnown, track_cid=cid, timestamp=at)

    def restore_record(self, *, at: datetime) -> None:
        """Have the record written again; none that waits for that of its track."""
        if self.track_cid is not None:
            super().restore_record(at=at)

    def undelete(self, *, at: datetime, track_cid: str | None = None) -> None:
        """Undelete it, as of the same version of the track, or of this one where none was known; a live one is no change."""
        if self.deleted_at is not None:
            self.trigger_event(self.Undeleted, track_cid=self.track_cid or track_cid, timestamp=at)
