"""The events of a track, in the order of its life. Their topics and fields are stored data."""

from typing import TYPE_CHECKING, Any, Final

from aggregates import published_events
from aggregates.published_events import assign_fields
from aggregates.values import Artwork, Audio, BlobRef, Downloads, Feature, SupportGate

if TYPE_CHECKING:
    from aggregates.tracks.track import Track

NOT_IN_RECORD: Final = frozenset({"tags", "unlisted", "downloads", "comments"})
"""The fields of a track, of those that its owner sets, that stay out of the record."""


class Created(published_events.Created):
    """The artist uploaded the track."""

    TOPIC = "track.registered.v1"
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


class Adopted(Created):
    """The track was adopted from an existing record on its artist's PDS, at `uri` with `cid`; created_at is the record's text.

    `blob` is the reference that the record names, `image_url` the URL of a cover whose bytes could not be fetched.
    """

    TOPIC = "track.adopted.v1"
    TOUCHES_RECORD = False
    RECREATES_RECORD = False
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


class MetadataUpdated(published_events.PublishedEvent):
    """Only what changed; null means removed."""

    TOPIC = "track.metadata_updated.v1"
    changes: dict[str, Any]

    def touches_record(self) -> bool:
        return not NOT_IN_RECORD.issuperset(self.changes)

    def assign(self, track: "Track") -> None:
        assign_fields(track, self.changes)


class ArtworkReplaced(published_events.PublishedEvent):
    """A cover was set, for the first time or in place of another."""

    TOPIC = "track.artwork_replaced.v1"
    TOUCHES_RECORD = True
    artwork: Artwork

    def assign(self, track: "Track") -> None:
        track.artwork = self.artwork
        track.image_url = None


class ArtworkRemoved(published_events.PublishedEvent):
    """The cover was removed; its bytes stay until the sweep."""

    TOPIC = "track.artwork_removed.v1"
    TOUCHES_RECORD = True

    def assign(self, track: "Track") -> None:
        track.artwork = None
        track.image_url = None


class SupportGateSet(published_events.PublishedEvent):
    """From now on for supporters only: the record names the gated URL and no blob."""

    TOPIC = "track.support_gate_set.v1"
    TOUCHES_RECORD = True
    gate: SupportGate

    def assign(self, track: "Track") -> None:
        track.support_gate = self.gate


class SupportGateRemoved(published_events.PublishedEvent):
    """Open to everyone again."""

    TOPIC = "track.support_gate_removed.v1"
    TOUCHES_RECORD = True

    def assign(self, track: "Track") -> None:
        track.support_gate = None


class VisibilityChanged(published_events.PublishedEvent):
    """Shown in lists or not; not part of the record."""

    TOPIC = "track.visibility_changed.v1"
    unlisted: bool


class DownloadsChanged(published_events.PublishedEvent):
    """Who may download the audio as a file: open, ask, supporters or off; not part of the record."""

    TOPIC = "track.downloads_changed.v1"
    downloads: str

    def assign(self, track: "Track") -> None:
        track.downloads = Downloads(self.downloads)


class CommentsChanged(published_events.PublishedEvent):
    """Whether people may comment on it; null is as its artist has set it for all tracks. Not part of the record."""

    TOPIC = "track.comments_changed.v1"
    comments: bool | None


class CommentHidden(published_events.PublishedEvent):
    """The artist hides a comment on the track from all but its author and operators."""

    TOPIC = "track.comment_hidden.v1"
    comment_id: int

    def assign(self, track: "Track") -> None:
        track.hidden_comments = (*(track.hidden_comments or ()), self.comment_id)


class CommentShown(published_events.PublishedEvent):
    """The artist shows a comment again that was hidden."""

    TOPIC = "track.comment_shown.v1"
    comment_id: int

    def assign(self, track: "Track") -> None:
        left = (each for each in track.hidden_comments or () if each != self.comment_id)
        track.hidden_comments = tuple(left) or None


class AudioReplaced(published_events.PublishedEvent):
    """New audio; it drops the blob of the earlier audio on the PDS, or the request for one."""

    TOPIC = "track.audio_replaced.v1"
    TOUCHES_RECORD = True
    REPLACES_BYTES = True
    audio: Audio

    def assign(self, track: "Track") -> None:
        track.audio = self.audio
        track.blob = None
        track.blob_requested = False
        track.blob_failure = None


class AudioNamed(published_events.PublishedEvent):
    """The owner named an audio that the track has or had, such as "new master"; null takes the name away. Not part of the record."""

    TOPIC = "track.audio_named.v1"
    cid: str
    name: str | None

    def assign(self, track: "Track") -> None:
        others = {cid: name for cid, name in (track.audio_names or {}).items() if cid != self.cid}
        track.audio_names = {**others, **({self.cid: self.name} if self.name else {})} or None


class ListeningKeySet(published_events.PublishedEvent):
    """The owner set a key, kept as its hash, that lets its bearer listen to all audio that the track has or had; null ends it."""

    TOPIC = "track.listening_key_set.v1"
    key_hash: str | None

    def assign(self, track: "Track") -> None:
        track.listening_key_hash = self.key_hash


class BlobMigrationRequested(published_events.PublishedEvent):
    """The artist wants the audio on the PDS too."""

    TOPIC = "track.blob_migration_requested.v1"

    def assign(self, track: "Track") -> None:
        track.blob_requested = True
        track.blob_failure = None


class BlobMigrated(published_events.PublishedEvent):
    """The PDS holds the audio and returned a reference, which the record names from now on."""

    TOPIC = "track.blob_migrated.v1"
    BRINGS_BLOB = True
    TOUCHES_RECORD = True
    BY_RELAY = True
    blob: BlobRef

    def assign(self, track: "Track") -> None:
        track.blob = self.blob
        track.blob_requested = False
        track.blob_failure = None


class BlobMigrationFailed(published_events.PublishedEvent):
    """The PDS refused the audio; `final` says that retrying cannot help."""

    TOPIC = "track.blob_migration_failed.v1"
    BY_RELAY = True
    reason: str
    final: bool

    def assign(self, track: "Track") -> None:
        track.blob_failure = self.reason
        track.blob_requested = track.blob_requested and not self.final


class BlobLost(published_events.PublishedEvent):
    """The PDS has lost the audio and refuses to take it again; the record names no blob from now on."""

    TOPIC = "track.blob_lost.v1"
    TOUCHES_RECORD = True
    BY_RELAY = True
    reason: str

    def assign(self, track: "Track") -> None:
        track.blob = None
        track.blob_requested = False
        track.blob_failure = self.reason


class BytesTakenDown(published_events.PublishedEvent):
    """An operator refuses the bytes that the track names, whichever account uploads them, until the takedown is lifted."""

    TOPIC = "track.bytes_taken_down.v1"
    cids: list[str]

    def assign(self, track: "Track") -> None:
        track.taken_down_cids = tuple(self.cids)


class TakedownLifted(published_events.TakedownLifted):
    """Its bytes are accepted again, too."""

    TOPIC = "track.takedown_lifted.v1"

    def assign(self, aggregate: Any, /) -> None:
        super().assign(aggregate)
        aggregate.taken_down_cids = ()
