"""The events of a track, in the order of its life. Their topics and fields are stored data."""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final

from eventsourcing.domain import Aggregate

from aggregates.values import Artwork, Audio, BlobRef, Downloads, Feature, SupportGate

if TYPE_CHECKING:
    from aggregates.track import Track

NOT_IN_RECORD: Final = frozenset({"tags", "unlisted", "downloads"})
"""The fields of a track, of those that its owner sets, that stay out of the record."""


def assign_fields(track: "Track", values: Mapping[str, Any]) -> None:
    """Set fields of a track to stored values: events have lists where a track has tuples."""
    for field, value in values.items():
        setattr(track, field, tuple(value) if isinstance(value, list) else value)


class TrackEvent(Aggregate.Event):
    """Base of the events of a track."""

    TOUCHES_RECORD: ClassVar[bool] = False
    BY_RELAY: ClassVar[bool] = False
    BY_OPERATOR: ClassVar[bool] = False

    def touches_record(self) -> bool:
        """Whether the relay has to write the record again because of this event."""
        return self.TOUCHES_RECORD

    def sets_generation(self) -> bool:
        """Whether the event is a new generation of the record, even one that the PDS holds already."""
        return self.touches_record()

    def apply(self, aggregate: Any) -> None:
        self.assign(aggregate)
        if not self.BY_RELAY:
            aggregate.visible_version = self.originator_version
            aggregate.updated_at = self.timestamp

    def assign(self, track: "Track") -> None:
        """Set what this event changes. No clock, no I/O, no refusal."""


class Created(TrackEvent, Aggregate.Created):
    """The artist uploaded the track."""

    TOPIC = "track.registered.v1"
    TOUCHES_RECORD = True
    did: str
    track_id: int
    title: str
    artist: str
    audio: Audio
    album: str | None
    features: list[Feature]
    tags: list[str]
    description: str | None
    artwork: Artwork | None
    support_gate: SupportGate | None
    unlisted: bool
    self_labels: list[str]
    created_at: str
    collection: str
    rkey: str

    def assign(self, track: "Track") -> None:
        known = type(track).__annotations__
        assign_fields(track, {field: value for field, value in vars(self).items() if field in known})


class Adopted(Created):
    """The track was adopted from an existing record on its artist's PDS, at `uri` with `cid`; created_at is the record's text.

    `blob` is the reference that the record names, `image_url` the URL of a cover whose bytes could not be fetched.
    """

    TOPIC = "track.adopted.v1"
    TOUCHES_RECORD = False
    uri: str
    cid: str
    blob: BlobRef | None
    image_url: str | None

    def sets_generation(self) -> bool:
        return True

    def assign(self, track: "Track") -> None:
        super().assign(track)
        track.adopted = True
        track.blob = self.blob
        track.image_url = self.image_url


class MetadataUpdated(TrackEvent):
    """Only what changed; null means removed."""

    TOPIC = "track.metadata_updated.v1"
    changes: dict[str, Any]

    def touches_record(self) -> bool:
        return not NOT_IN_RECORD.issuperset(self.changes)

    def assign(self, track: "Track") -> None:
        assign_fields(track, self.changes)


class ArtworkReplaced(TrackEvent):
    """A cover was set, for the first time or in place of another."""

    TOPIC = "track.artwork_replaced.v1"
    TOUCHES_RECORD = True
    artwork: Artwork

    def assign(self, track: "Track") -> None:
        track.artwork = self.artwork
        track.image_url = None


class ArtworkRemoved(TrackEvent):
    """The cover was removed; its bytes stay until the sweep."""

    TOPIC = "track.artwork_removed.v1"
    TOUCHES_RECORD = True

    def assign(self, track: "Track") -> None:
        track.artwork = None
        track.image_url = None


class SupportGateSet(TrackEvent):
    """From now on for supporters only: the record names the gated URL and no blob."""

    TOPIC = "track.support_gate_set.v1"
    TOUCHES_RECORD = True
    gate: SupportGate

    def assign(self, track: "Track") -> None:
        track.support_gate = self.gate


class SupportGateRemoved(TrackEvent):
    """Open to everyone again."""

    TOPIC = "track.support_gate_removed.v1"
    TOUCHES_RECORD = True

    def assign(self, track: "Track") -> None:
        track.support_gate = None


class VisibilityChanged(TrackEvent):
    """Shown in lists or not; not part of the record."""

    TOPIC = "track.visibility_changed.v1"
    unlisted: bool

    def assign(self, track: "Track") -> None:
        track.unlisted = self.unlisted


class DownloadsChanged(TrackEvent):
    """Who may download the audio as a file: open, ask, supporters or off; not part of the record."""

    TOPIC = "track.downloads_changed.v1"
    downloads: str

    def assign(self, track: "Track") -> None:
        track.downloads = Downloads(self.downloads)


class AudioReplaced(TrackEvent):
    """New audio; it drops the blob of the earlier audio on the PDS, or the request for one."""

    TOPIC = "track.audio_replaced.v1"
    TOUCHES_RECORD = True
    audio: Audio

    def assign(self, track: "Track") -> None:
        track.audio = self.audio
        track.blob = None
        track.blob_requested = False
        track.blob_failure = None


class BlobMigrationRequested(TrackEvent):
    """The artist wants the audio on the PDS too."""

    TOPIC = "track.blob_migration_requested.v1"

    def assign(self, track: "Track") -> None:
        track.blob_requested = True
        track.blob_failure = None


class BlobMigrated(TrackEvent):
    """The PDS holds the audio and returned a reference, which the record names from now on."""

    TOPIC = "track.blob_migrated.v1"
    TOUCHES_RECORD = True
    BY_RELAY = True
    blob: BlobRef

    def assign(self, track: "Track") -> None:
        track.blob = self.blob
        track.blob_requested = False
        track.blob_failure = None


class BlobMigrationFailed(TrackEvent):
    """The PDS refused the audio; `final` says that retrying cannot help."""

    TOPIC = "track.blob_migration_failed.v1"
    BY_RELAY = True
    reason: str
    final: bool

    def assign(self, track: "Track") -> None:
        track.blob_failure = self.reason
        track.blob_requested = track.blob_requested and not self.final


class BlobLost(TrackEvent):
    """The PDS has lost the audio and refuses to take it again; the record names no blob from now on."""

    TOPIC = "track.blob_lost.v1"
    TOUCHES_RECORD = True
    BY_RELAY = True
    reason: str

    def assign(self, track: "Track") -> None:
        track.blob = None
        track.blob_requested = False
        track.blob_failure = self.reason


class RecordMissing(TrackEvent):
    """The record was deleted elsewhere; only its owner can have it written again."""

    TOPIC = "track.record_missing.v1"
    BY_RELAY = True
    observed_at: datetime

    def assign(self, track: "Track") -> None:
        track.record_missing_since = self.observed_at
        track.foreign_edit = None


class ForeignEditObserved(TrackEvent):
    """Another client changed our fields in the record; it is held until its owner decides which version to keep."""

    TOPIC = "track.foreign_edit_observed.v1"
    BY_RELAY = True
    cid: str

    def assign(self, track: "Track") -> None:
        track.foreign_edit = self.cid


class ForeignEditAdopted(TrackEvent):
    """The owner adopted what another client wrote in the record; `changes` is what changed in the track, null means removed."""

    TOPIC = "track.foreign_edit_adopted.v1"
    cid: str
    changes: dict[str, Any]

    def sets_generation(self) -> bool:
        return True

    def assign(self, track: "Track") -> None:
        track.foreign_edit = None
        assign_fields(track, self.changes)


class ForeignEditWithdrawn(TrackEvent):
    """The other client took its edit, or its delete, back before the owner decided; nothing is left to decide."""

    TOPIC = "track.foreign_edit_withdrawn.v1"
    BY_RELAY = True
    cid: str

    def assign(self, track: "Track") -> None:
        track.foreign_edit = None
        track.record_missing_since = None


class RecordRestored(TrackEvent):
    """The owner wants the record to equal the track again, after it was deleted or edited elsewhere."""

    TOPIC = "track.record_restored.v1"
    TOUCHES_RECORD = True

    def assign(self, track: "Track") -> None:
        track.record_missing_since = None
        track.foreign_edit = None


class NamespaceMigrated(TrackEvent):
    """The record moves to another collection, under the same key; the old one is deleted once the new one is there.

    The track may be in that collection already: then only the PDS knew of the old record.
    """

    TOPIC = "track.namespace_migrated.v1"
    TOUCHES_RECORD = True
    old_collection: str
    collection: str
    rkey: str

    def assign(self, track: "Track") -> None:
        left = dict.fromkeys([*track.former_collections, self.old_collection])
        left.pop(self.collection, None)
        track.former_collections = tuple(left)
        track.collection = self.collection
        track.record_missing_since = None


class Deleted(TrackEvent):
    """The track is hidden and its record is to be removed; bytes stay within the grace period."""

    TOPIC = "track.deleted.v1"
    TOUCHES_RECORD = True

    def assign(self, track: "Track") -> None:
        track.deleted_at = self.timestamp
        track.record_missing_since = None
        track.foreign_edit = None


class Undeleted(TrackEvent):
    """The track is back, with the same key and content."""

    TOPIC = "track.undeleted.v1"
    TOUCHES_RECORD = True

    def assign(self, track: "Track") -> None:
        track.deleted_at = None


class TakenDown(TrackEvent):
    """An operator hides the track from all but its owner and admins, and its bytes from all but admins; its record stays."""

    TOPIC = "track.taken_down.v1"
    BY_OPERATOR = True
    reason: str

    def assign(self, track: "Track") -> None:
        track.taken_down_at = self.timestamp
        track.takedown_reason = self.reason


class TakedownLifted(TrackEvent):
    """An operator makes the track visible again; nothing else does."""

    TOPIC = "track.takedown_lifted.v1"
    BY_OPERATOR = True
    reason: str

    def assign(self, track: "Track") -> None:
        track.taken_down_at = None
        track.takedown_reason = None
