"""The events of a release, in the order of its life. Their topics and fields are stored data."""

from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final

from eventsourcing.domain import Aggregate
from eventsourcing.utils import register_topic

from aggregates.published_events import as_stored, assign_fields, own_fields
from aggregates.values import Downloads, ReleaseFile, ReleaseState, same_ends

if TYPE_CHECKING:
    from aggregates.releases.release import Release

ARRANGED: Final = ("title", "description", "tags")
"""The fields of a file that its owner sets."""


class ReleaseEvent(Aggregate.Event):
    """Base of the events of a release."""

    STATE: ClassVar[ReleaseState | None] = ReleaseState.DRAFT
    """That of the release from then on; None where it stays."""

    def apply(self, aggregate: Any) -> None:
        if self.STATE is not None:
            aggregate.state, aggregate.reasons = self.STATE.value, ()
        self.assign(aggregate)
        aggregate.visible_version = self.originator_version
        aggregate.changed_at = self.timestamp

    def assign(self, release: "Release") -> None:
        """Set what this event changes: its fields, unless its class says otherwise. No clock, no I/O, no refusal."""
        assign_fields(release, own_fields(self))


class Edited(ReleaseEvent):
    """Its owner set fields of METADATA: only what changed, null means removed."""

    TOPIC = "release.edited.v1"
    changes: dict[str, Any]

    def assign(self, release: "Release") -> None:
        assign_fields(release, self.changes)
        release.downloads = Downloads(release.downloads)


class Created(Edited, Aggregate.Created):
    """Its owner began a release, with these fields of METADATA."""

    TOPIC = "release.created.v1"
    did: str
    release_id: int

    def assign(self, release: "Release") -> None:
        super().assign(release)
        release.did, release.release_id = self.did, self.release_id


class FileAdded(ReleaseEvent):
    """A file was uploaded whole, and is to be a track at this place."""

    TOPIC = "release.file_added.v1"
    place: int
    file: ReleaseFile

    def assign(self, release: "Release") -> None:
        release.files = (*release.files[: self.place], self.file, *release.files[self.place :])


class FilesArranged(ReleaseEvent):
    """Its owner set which files stay, in which order, and title, description and tags of those where they differ.

    The description of a file that had one is a list: how many letters of the one before stay at its beginning and at its end,
    and the text between them.
    """

    TOPIC = "release.files_arranged.v2"
    files: list[dict[str, Any]]

    def assign(self, release: "Release") -> None:
        by_id = {each.upload_id: each for each in release.files}
        release.files = tuple(_changed(by_id[each["upload_id"]], each) for each in self.files)


register_topic("release.files_arranged.v1", FilesArranged)


def changes_of(before: ReleaseFile, after: ReleaseFile) -> dict[str, Any]:
    """Return the stored form of what its owner set of a file."""
    names = (each for each in ARRANGED if getattr(before, each) != getattr(after, each))
    changes: dict[str, Any] = {name: getattr(after, name) for name in names}
    was, now = before.description, changes.get("description")
    if was and now:
        begin, end = same_ends(was, now)
        changes["description"] = [begin, end, now[begin : len(now) - end]]
    return {"upload_id": after.upload_id, **as_stored(changes)}


def _changed(file: ReleaseFile, changes: dict[str, Any]) -> ReleaseFile:
    match changes, file.description:
        case {"description": [begin, end, between]}, str(was):
            changes = {**changes, "description": f"{was[:begin]}{between}{was[len(was) - end :]}"}
    return file.arranged(changes)


class Scheduled(ReleaseEvent):
    """Its owner has set when it is published."""

    TOPIC = "release.scheduled.v1"
    STATE = ReleaseState.SCHEDULED
    publish_at: datetime


class Unscheduled(ReleaseEvent):
    """Its owner made it a draft again."""

    TOPIC = "release.unscheduled.v1"

    def assign(self, release: "Release") -> None:
        release.publish_at = None


class Published(ReleaseEvent):
    """Its tracks were made in this order, and their album where it has a title."""

    TOPIC = "release.published.v1"
    STATE = ReleaseState.PUBLISHED
    track_ids: list[int]
    album_id: int | None

    def assign(self, release: "Release") -> None:
        release.track_ids, release.album_id = tuple(self.track_ids), self.album_id


class PublishingFailed(ReleaseEvent):
    """Nothing of it was published, for these reasons."""

    TOPIC = "release.publishing_failed.v1"
    STATE = ReleaseState.FAILED
    reasons: list[str]

    def assign(self, release: "Release") -> None:
        release.publish_at, release.reasons = None, tuple(self.reasons)


class PreviewSet(ReleaseEvent):
    """Its owner made a secret link to it, in place of any earlier one, or withdrew it; the hash is that of the link's token."""

    TOPIC = "release.preview_set.v1"
    STATE = None
    preview_hash: str | None


class Deleted(ReleaseEvent):
    """It is gone, and its bytes may be swept; tracks that it made stay."""

    TOPIC = "release.deleted.v1"
    STATE = None

    def assign(self, release: "Release") -> None:
        release.deleted_at = self.timestamp
