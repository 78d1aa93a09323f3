"""A release that is being made: uploaded files in their order, and what their tracks have in common. Nothing of it is public."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from math import inf
from typing import Any, Final

from aggregates.errors import InvalidFieldError, NotADraftError
from aggregates.published import Owned
from aggregates.published_events import as_stored
from aggregates.releases import release_events as events
from aggregates.values import Artwork, Downloads, ReleaseFile, ReleaseState, SupportGate, cids_in

_NUMBER: Final = re.compile("([0-9]+)")
DRAFTS: Final = frozenset({ReleaseState.DRAFT, ReleaseState.FAILED})
"""What its owner may change, and what ends when it is left."""


class Release(Owned, created_event_name="Created"):
    """One release. It has no record."""

    TOPIC = "release"
    METADATA = (
        *("title", "description", "release_date", "tags", "unlisted", "downloads"),
        *("support_gate", "copy_audio", "artwork"),
    )
    SHOWN = (*METADATA, "files", "state", "publish_at", "reasons", "track_ids", "album_id", "deleted_at")

    # Events, in the order of a release's life.

    Event = events.ReleaseEvent
    Created = events.Created
    Edited = events.Edited
    FileAdded = events.FileAdded
    FilesArranged = events.FilesArranged
    PreviewSet = events.PreviewSet
    Scheduled = events.Scheduled
    Unscheduled = events.Unscheduled
    Published = events.Published
    PublishingFailed = events.PublishingFailed
    Deleted = events.Deleted

    # State.

    release_id: int
    changed_at: datetime

    def __init__(self) -> None:
        super().__init__()
        self.title: str | None = None
        """Of the album; without one its tracks are in none."""
        self.description: str | None = None
        self.release_date: str | None = None
        self.tags: tuple[str, ...] = ()
        self.unlisted = False
        self.downloads = Downloads.OPEN
        self.support_gate: SupportGate | None = None
        self.copy_audio = False
        self.artwork: Artwork | None = None
        self.files: tuple[ReleaseFile, ...] = ()
        self.state = ReleaseState.DRAFT.value
        self.publish_at: datetime | None = None
        self.reasons: tuple[str, ...] = ()
        """Why it could not be published."""
        self.preview_hash: str | None = None
        self.track_ids: tuple[int, ...] = ()
        self.album_id: int | None = None

    @classmethod
    def create(cls, *, did: str, release_id: int, changes: Mapping[str, Any], at: datetime) -> "Release":
        made = {"did": did, "release_id": release_id, "changes": as_stored(changes)}
        return cls._create(cls.Created, id=cls.create_id(release_id), timestamp=at, **made)

    @property
    def cover(self) -> Artwork | None:
        """Its own, or that of the first file with one."""
        covers = [self.artwork, *(file.artwork for file in self.files)]
        return next(filter(None, covers), None)

    @property
    def cids(self) -> frozenset[str]:
        """The bytes that it names; once it is published, its tracks do."""
        if self.state == ReleaseState.PUBLISHED:
            return frozenset()
        return frozenset([*cids_in(self.artwork), *(cid for file in self.files for cid in file.cids)])

    # Commands. `at` is the time of the command.

    def edit(self, changes: Mapping[str, Any], *, at: datetime) -> None:
        """Set the given fields of METADATA, checked values (see aggregates.values), where they differ."""
        self.require_draft()
        if changed := {name: value for name, value in changes.items() if value != getattr(self, name)}:
            self.trigger_event(Release.Edited, changes=as_stored(changed), timestamp=at)

    def has_file(self, upload_id: str) -> bool:
        return any(each.upload_id == upload_id for each in self.files)

    def add_file(self, file: ReleaseFile, *, at: datetime) -> None:
        """Put a file before those whose tags have a later disc or number, or with none a name that comes later: uploads end in any order."""
        self.require_draft()
        behind = (place for place, each in enumerate(self.files) if _order(each) > _order(file))
        place = next(behind, len(self.files))
        self.trigger_event(Release.FileAdded, place=place, file=file, timestamp=at)

    def remove_file(self, upload_id: str, *, at: datetime) -> None:
        """Take a file out; one that is not there is no change."""
        self.require_draft()
        if self.has_file(upload_id):
            left = [{"upload_id": each.upload_id} for each in self.files if each.upload_id != upload_id]
            self.trigger_event(Release.FilesArranged, files=left, timestamp=at)

    def arrange(self, files: Sequence[Mapping[str, Any]], *, at: datetime) -> None:
        """Set the order of all files, named by `upload_id`, and title, description and tags where they are given, checked values."""
        self.require_draft()
        by_id = {each.upload_id: each for each in self.files}
        wanted = [each["upload_id"] for each in files]
        if sorted(wanted) != sorted(by_id):
            raise InvalidFieldError("tracks", "must name each uploaded file of the release once")
        arranged = tuple(by_id[each["upload_id"]].arranged(each) for each in files)
        if arranged != self.files:
            stored = [events.changes_of(by_id[each.upload_id], each) for each in arranged]
            self.trigger_event(Release.FilesArranged, files=stored, timestamp=at)

    def set_preview(self, preview_hash: str | None, *, at: datetime) -> None:
        """Set the hash of the token of its secret link, or withdraw the link."""
        self.require_live()
        if preview_hash != self.preview_hash:
            self.trigger_event(Release.PreviewSet, preview_hash=preview_hash, timestamp=at)

    def schedule(self, publish_at: datetime, *, at: datetime) -> None:
        self.require_draft()
        self.trigger_event(Release.Scheduled, publish_at=publish_at, timestamp=at)

    def unschedule(self, *, at: datetime) -> None:
        """Make a draft of a scheduled release; a draft is no change."""
        if self.state == ReleaseState.SCHEDULED:
            self.trigger_event(Release.Unscheduled, timestamp=at)
        self.require_draft()

    def publish(self, track_ids: Sequence[int], album_id: int | None, *, at: datetime) -> None:
        made = {"track_ids": list(track_ids), "album_id": album_id}
        self.trigger_event(Release.Published, **made, timestamp=at)

    def fail(self, reasons: Sequence[str], *, at: datetime) -> None:
        self.trigger_event(Release.PublishingFailed, reasons=list(reasons), timestamp=at)

    def require_draft(self) -> None:
        self.require_live()
        if self.state not in DRAFTS:
            raise NotADraftError(self.state)


def _order(file: ReleaseFile) -> tuple[float, float, list[tuple[int, str]]]:
    """Return where a file stands among others: those without a number last, by the numbers and words of their names."""
    if file.number:
        return file.disc or 1, file.number, []
    parts = _NUMBER.split(file.name.casefold())
    return inf, inf, [(int(part), "") if part.isdecimal() else (0, part) for part in parts]
