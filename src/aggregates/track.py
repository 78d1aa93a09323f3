"""One track of one artist. The record in the artist's PDS is a copy of this, made by the relay."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, ClassVar, Final
from uuid import NAMESPACE_URL, UUID, uuid5

from eventsourcing.domain import Aggregate

from aggregates.errors import GatedTrackError, TrackDeletedError
from aggregates.values import Artwork, Audio, BlobRef, Feature, SupportGate

METADATA: Final = ("title", "album", "features", "tags", "description", "self_labels")
NOT_IN_RECORD: Final = frozenset({"tags"})


class Track(Aggregate, created_event_name="Created"):
    """One track. Commands decide and trigger one event; events only assign."""

    TOPIC = "track"

    # Events, in the order of a track's life.

    class Event(Aggregate.Event):
        """What every event of a track tells about itself."""

        TOUCHES_RECORD: ClassVar[bool] = False
        BY_RELAY: ClassVar[bool] = False

        def touches_record(self) -> bool:
            """Whether the record on the PDS has to be written again because of this event."""
            return self.TOUCHES_RECORD

        def apply(self, aggregate: Any) -> None:
            self.assign(aggregate)
            if not self.BY_RELAY:
                aggregate.visible_version = self.originator_version
                aggregate.updated_at = self.timestamp

        def assign(self, track: "Track") -> None:
            """Set what this event changes. No clock, no I/O, no refusal."""

    class Created(Event, Aggregate.Created):
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
            for field, value in vars(self).items():
                if field in Track.__annotations__:
                    setattr(track, field, tuple(value) if isinstance(value, list) else value)

    class MetadataUpdated(Event):
        """Only what changed; null means removed."""

        TOPIC = "track.metadata_updated.v1"
        changes: dict[str, Any]

        def touches_record(self) -> bool:
            return not NOT_IN_RECORD.issuperset(self.changes)

        def assign(self, track: "Track") -> None:
            for field, value in self.changes.items():
                setattr(track, field, tuple(value) if isinstance(value, list) else value)

    class ArtworkReplaced(Event):
        """A cover was set, for the first time or in place of another."""

        TOPIC = "track.artwork_replaced.v1"
        TOUCHES_RECORD = True
        artwork: Artwork

        def assign(self, track: "Track") -> None:
            track.artwork = self.artwork

    class ArtworkRemoved(Event):
        """The cover was taken off; its bytes stay until the sweep."""

        TOPIC = "track.artwork_removed.v1"
        TOUCHES_RECORD = True

        def assign(self, track: "Track") -> None:
            track.artwork = None

    class SupportGateSet(Event):
        """From now on for supporters only: the record names the gated URL and no blob."""

        TOPIC = "track.support_gate_set.v1"
        TOUCHES_RECORD = True
        gate: SupportGate

        def assign(self, track: "Track") -> None:
            track.support_gate = self.gate

    class SupportGateRemoved(Event):
        """Open to everyone again."""

        TOPIC = "track.support_gate_removed.v1"
        TOUCHES_RECORD = True

        def assign(self, track: "Track") -> None:
            track.support_gate = None

    class VisibilityChanged(Event):
        """Shown in lists or not; the record does not say."""

        TOPIC = "track.visibility_changed.v1"
        unlisted: bool

        def assign(self, track: "Track") -> None:
            track.unlisted = self.unlisted

    class AudioReplaced(Event):
        """New audio; a blob of the earlier audio on the PDS, or the wish for one, ends with it."""

        TOPIC = "track.audio_replaced.v1"
        TOUCHES_RECORD = True
        audio: Audio

        def assign(self, track: "Track") -> None:
            track.audio = self.audio
            track.blob = None
            track.blob_requested = False
            track.blob_failure = None

    class BlobMigrationRequested(Event):
        """The artist wants the audio on the PDS too."""

        TOPIC = "track.blob_migration_requested.v1"

        def assign(self, track: "Track") -> None:
            track.blob_requested = True
            track.blob_failure = None

    class BlobMigrated(Event):
        """The PDS holds the audio and returned a reference, which the record names from now on."""

        TOPIC = "track.blob_migrated.v1"
        TOUCHES_RECORD = True
        BY_RELAY = True
        blob: BlobRef

        def assign(self, track: "Track") -> None:
            track.blob = self.blob
            track.blob_requested = False
            track.blob_failure = None

    class BlobMigrationFailed(Event):
        """The PDS did not take the audio; `final` says that trying again cannot help."""

        TOPIC = "track.blob_migration_failed.v1"
        BY_RELAY = True
        reason: str
        final: bool

        def assign(self, track: "Track") -> None:
            track.blob_failure = self.reason
            track.blob_requested = track.blob_requested and not self.final

    class RecordMissing(Event):
        """The record was deleted elsewhere; nothing of ours makes it again without the owner."""

        TOPIC = "track.record_missing.v1"
        BY_RELAY = True
        observed_at: datetime

        def assign(self, track: "Track") -> None:
            track.record_missing_since = self.observed_at

    class RecordRestored(Event):
        """The owner wants the record back: same key, same content."""

        TOPIC = "track.record_restored.v1"
        TOUCHES_RECORD = True

        def assign(self, track: "Track") -> None:
            track.record_missing_since = None

    class Deleted(Event):
        """The track is hidden and its record is to be removed; bytes stay within the grace period."""

        TOPIC = "track.deleted.v1"
        TOUCHES_RECORD = True

        def assign(self, track: "Track") -> None:
            track.deleted_at = self.timestamp
            track.record_missing_since = None

    class Undeleted(Event):
        """The track is back, with the same key and content."""

        TOPIC = "track.undeleted.v1"
        TOUCHES_RECORD = True

        def assign(self, track: "Track") -> None:
            track.deleted_at = None

    # State.

    did: str
    track_id: int
    title: str
    artist: str
    audio: Audio
    album: str | None
    features: tuple[Feature, ...]
    tags: tuple[str, ...]
    description: str | None
    artwork: Artwork | None
    support_gate: SupportGate | None
    unlisted: bool
    self_labels: tuple[str, ...]
    created_at: str
    collection: str
    rkey: str
    visible_version: int
    updated_at: datetime

    def __init__(self) -> None:
        """Begin with what no upload sets."""
        self.blob: BlobRef | None = None
        self.blob_requested = False
        self.blob_failure: str | None = None
        self.record_missing_since: datetime | None = None
        self.deleted_at: datetime | None = None

    @classmethod
    def register(cls, *, at: datetime, **fields: Any) -> "Track":
        """Make a track from the fields of Created; `created_at` is the text that its record keeps for ever."""
        stored: dict[str, Any] = {
            name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()
        }
        return cls._create(cls.Created, timestamp=at, **stored)

    @staticmethod
    def create_id(track_id: int) -> UUID:
        """Give the aggregate id that belongs to a track id."""
        return uuid5(NAMESPACE_URL, f"mastertape:track:{track_id}")

    # Commands. `at` is the time of the command.

    def update_metadata(self, changes: Mapping[str, Any], *, at: datetime) -> None:
        """Set the given fields of METADATA, checked values (see aggregates.values), where they differ."""
        self._require_live()
        changed = {field: changes[field] for field in METADATA if field in changes}
        changed = {field: value for field, value in changed.items() if value != getattr(self, field)}
        if changed:
            stored = {f: list(v) if isinstance(v, tuple) else v for f, v in changed.items()}
            self.trigger_event(Track.MetadataUpdated, changes=stored, timestamp=at)

    def replace_artwork(self, artwork: Artwork, *, at: datetime) -> None:
        """Set the cover."""
        self._require_live()
        if artwork != self.artwork:
            self.trigger_event(Track.ArtworkReplaced, artwork=artwork, timestamp=at)

    def remove_artwork(self, *, at: datetime) -> None:
        """Take the cover off."""
        self._require_live()
        if self.artwork is not None:
            self.trigger_event(Track.ArtworkRemoved, timestamp=at)

    def set_support_gate(self, gate: SupportGate | None, *, at: datetime) -> None:
        """Make the track for supporters only, or open with None."""
        self._require_live()
        if gate == self.support_gate:
            return
        if gate is None:
            self.trigger_event(Track.SupportGateRemoved, timestamp=at)
        else:
            self.trigger_event(Track.SupportGateSet, gate=gate, timestamp=at)

    def set_unlisted(self, unlisted: bool, *, at: datetime) -> None:
        """Hide the track from lists, or show it."""
        self._require_live()
        if unlisted != self.unlisted:
            self.trigger_event(Track.VisibilityChanged, unlisted=unlisted, timestamp=at)

    def replace_audio(self, audio: Audio, *, at: datetime) -> None:
        """Put other audio in place."""
        self._require_live()
        if audio.cid != self.audio.cid:
            self.trigger_event(Track.AudioReplaced, audio=audio, timestamp=at)

    def request_blob_migration(self, *, at: datetime) -> None:
        """Ask for the audio to be copied to the PDS; nothing happens where it is there or asked for already."""
        self._require_live()
        if self.support_gate is not None:
            raise GatedTrackError
        if self.blob is None and not self.blob_requested:
            self.trigger_event(Track.BlobMigrationRequested, timestamp=at)

    def restore_record(self, *, at: datetime) -> None:
        """Ask for the record to be written again after it was deleted elsewhere."""
        self._require_live()
        self.trigger_event(Track.RecordRestored, timestamp=at)

    def delete(self, *, at: datetime) -> None:
        """Delete the track; again is no change."""
        if self.deleted_at is None:
            self.trigger_event(Track.Deleted, timestamp=at)

    def undelete(self, *, at: datetime) -> None:
        """Bring the track back; a live one stays as it is."""
        if self.deleted_at is not None:
            self.trigger_event(Track.Undeleted, timestamp=at)

    # What the relay found out.

    def record_blob(self, blob: BlobRef, *, at: datetime) -> None:
        """Note the reference that the PDS returned, when it is still the track's audio and wanted there."""
        if self.blob_accepts(blob.audio_cid) and blob != self.blob:
            self.trigger_event(Track.BlobMigrated, blob=blob, timestamp=at)

    def record_blob_failure(self, reason: str, *, final: bool, at: datetime) -> None:
        """Note that the PDS did not take the audio."""
        self.trigger_event(Track.BlobMigrationFailed, reason=reason, final=final, timestamp=at)

    def record_missing(self, *, observed_at: datetime) -> None:
        """Note that the record was deleted elsewhere."""
        if self.deleted_at is None and self.record_missing_since is None:
            self.trigger_event(Track.RecordMissing, observed_at=observed_at, timestamp=observed_at)

    def blob_accepts(self, audio_cid: str) -> bool:
        """Whether a blob with this audio may still be named by the record."""
        return self.deleted_at is None and self.support_gate is None and self.audio.cid == audio_cid

    def _require_live(self) -> None:
        if self.deleted_at is not None:
            raise TrackDeletedError


def media_cids(track: Track) -> Iterable[str]:
    """Name the media that the track's state needs."""
    yield track.audio.cid
    if track.artwork is not None:
        yield track.artwork.cid
        yield track.artwork.thumbnail_cid
