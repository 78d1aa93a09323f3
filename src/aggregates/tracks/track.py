"""One track of one artist. The record in the artist's PDS is a copy of this, made by the relay."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import ClassVar, Final

from aggregates.errors import GatedTrackError
from aggregates.published import DesiredBlob, WithBlob
from aggregates.tracks import track_events as events
from aggregates.values import Artwork, Audio, BlobRef, Downloads, Feature, SupportGate, cids_in, hash_of

METADATA: Final = ("title", "album", "features", "tags", "description", "self_labels")


class Track(WithBlob, created_event_name="Created"):
    """One track. Commands decide and trigger one event; events only assign."""

    TOPIC = "track"
    METADATA = METADATA
    SHOWN = (
        *("title", "artist", "album", "features", "tags", "description", "support_gate", "unlisted"),
        *("downloads", "comments", "hidden_comments", "self_labels", "audio", "audio_names"),
        *("artwork", "image_url"),
        *("blob", "blob_requested", "blob_failure", "record_missing_since", "foreign_edit"),
        *("deleted_at", "taken_down_at", "takedown_reason", "created_at", "collection", "rkey"),
    )

    # Events, in the order of a track's life.

    Created = events.Created
    Adopted = events.Adopted
    Edited = events.MetadataUpdated
    ArtworkReplaced = events.ArtworkReplaced
    ArtworkRemoved = events.ArtworkRemoved
    SupportGateSet = events.SupportGateSet
    SupportGateRemoved = events.SupportGateRemoved
    VisibilityChanged = events.VisibilityChanged
    DownloadsChanged = events.DownloadsChanged
    CommentsChanged = events.CommentsChanged
    CommentHidden = events.CommentHidden
    CommentShown = events.CommentShown
    AudioReplaced = events.AudioReplaced
    AudioNamed = events.AudioNamed
    ListeningKeySet = events.ListeningKeySet
    BlobMigrationRequested = events.BlobMigrationRequested
    BlobMigrated = events.BlobMigrated
    BlobMigrationFailed = events.BlobMigrationFailed
    BlobLost = events.BlobLost
    BytesTakenDown = events.BytesTakenDown
    TakedownLifted = events.TakedownLifted

    # State.

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

    def __init__(self) -> None:
        super().__init__()
        self.adopted = False
        self.downloads = Downloads.OPEN
        self.comments: bool | None = None
        """None is as the artist has set it for all tracks."""
        self.hidden_comments: tuple[int, ...] | None = None
        self.image_url: str | None = None
        self.audio_names: dict[str, str] | None = None
        """By CID, of audio that it has or had."""
        self.listening_key_hash: str | None = None
        self.blob: BlobRef | None = None
        self.blob_requested = False
        self.blob_failure: str | None = None
        self.taken_down_cids: tuple[str, ...] = ()

    @property
    def blob_bytes(self) -> Audio:
        return self.audio

    @property
    def desired_blob(self) -> DesiredBlob | None:
        requested = self.blob_requested and self.blob_accepts(self.audio.cid)
        on_pds = self.blob is not None
        return DesiredBlob(self.audio.cid, requested, on_pds) if requested or on_pds else None

    # Commands. `at` is the time of the command.

    def set_artwork(self, artwork: Artwork | str | None, *, at: datetime) -> None:
        """Set the cover, or the URL that the track was adopted with in place of one; None removes both."""
        self.require_live()
        if isinstance(artwork, Artwork):
            if artwork != self.artwork:
                self.trigger_event(Track.ArtworkReplaced, artwork=artwork, timestamp=at)
            return
        if self.artwork is not None or (artwork is None and self.image_url is not None):
            self.trigger_event(Track.ArtworkRemoved, timestamp=at)
        if artwork != self.image_url:
            self.trigger_event(Track.Edited, changes={"image_url": artwork}, timestamp=at)

    def set_support_gate(self, gate: SupportGate | None, *, at: datetime) -> None:
        """Make the track for supporters only, or open with None."""
        self.require_live()
        if gate == self.support_gate:
            return
        if gate is None:
            self.trigger_event(Track.SupportGateRemoved, timestamp=at)
        else:
            self.trigger_event(Track.SupportGateSet, gate=gate, timestamp=at)

    def set_unlisted(self, unlisted: bool, *, at: datetime) -> None:
        self.require_live()
        if unlisted != self.unlisted:
            self.trigger_event(Track.VisibilityChanged, unlisted=unlisted, timestamp=at)

    def set_downloads(self, downloads: Downloads, *, at: datetime) -> None:
        """Set who may download the audio, of those who may play the track."""
        self.require_live()
        if downloads != self.downloads:
            self.trigger_event(Track.DownloadsChanged, downloads=downloads.value, timestamp=at)

    def set_comments(self, comments: bool | None, *, at: datetime) -> None:
        """Set whether people may comment on it, or with None that it is as for all tracks of the artist."""
        self.require_live()
        if comments is not self.comments:
            self.trigger_event(Track.CommentsChanged, comments=comments, timestamp=at)

    def hide_comment(self, comment_id: int, *, hidden: bool, at: datetime) -> None:
        self.require_live()
        if (comment_id in (self.hidden_comments or ())) is not hidden:
            event = Track.CommentHidden if hidden else Track.CommentShown
            self.trigger_event(event, comment_id=comment_id, timestamp=at)

    def replace_audio(self, audio: Audio, *, at: datetime) -> None:
        """Replace the audio; the same CID is no change."""
        self.require_live()
        if audio.cid != self.audio.cid:
            self.trigger_event(Track.AudioReplaced, audio=audio, timestamp=at)

    def name_audio(self, name: str | None, *, at: datetime) -> None:
        """Name the audio that it has; None takes the name away."""
        self.require_live()
        if name != (self.audio_names or {}).get(self.audio.cid):
            self.trigger_event(Track.AudioNamed, cid=self.audio.cid, name=name, timestamp=at)

    def set_listening_key(self, key: str | None, *, at: datetime) -> None:
        """Set the key that lets its bearer listen to all audio that the track has or had; it replaces an earlier one, None ends that."""
        self.require_live()
        key_hash = hash_of(key) if key is not None else None
        if key_hash != self.listening_key_hash:
            self.trigger_event(Track.ListeningKeySet, key_hash=key_hash, timestamp=at)

    SETTERS: ClassVar[Mapping[str, Callable[..., None]]] = {
        "artwork": set_artwork,
        "support_gate": set_support_gate,
        "unlisted": set_unlisted,
        "downloads": set_downloads,
        "comments": set_comments,
        "audio": replace_audio,
        "audio_name": name_audio,
        "listening_key": set_listening_key,
    }

    def opens_with(self, key: str) -> bool:
        return self.deleted_at is None and self.listening_key_hash == hash_of(key)

    def request_blob_migration(self, *, at: datetime) -> None:
        """Request that the audio is copied to the PDS; no change if it is there or was requested. Raises GatedTrackError."""
        self.require_live()
        if self.support_gate is not None:
            raise GatedTrackError
        if self.blob is None and not self.blob_requested:
            self.trigger_event(Track.BlobMigrationRequested, timestamp=at)

    def refuse_bytes(self, *, at: datetime) -> None:
        """Refuse what the track names to all accounts, until its takedown is lifted."""
        cids = {*self.taken_down_cids, *media_cids(self)}
        if cids != set(self.taken_down_cids):
            self.trigger_event(Track.BytesTakenDown, cids=sorted(cids), timestamp=at)

    # What the relay observed.

    def record_blob(self, blob: BlobRef, *, at: datetime) -> None:
        """Record the blob that the PDS returned, if the record may still name it."""
        if self.blob_accepts(blob.audio_cid) and blob != self.blob:
            self.trigger_event(Track.BlobMigrated, blob=blob, timestamp=at)

    def record_blob_failure(self, reason: str, *, final: bool, at: datetime) -> None:
        """Record that the PDS refused the audio; `final` ends the request."""
        self.trigger_event(Track.BlobMigrationFailed, reason=reason, final=final, timestamp=at)

    def record_blob_lost(self, reason: str, *, at: datetime) -> None:
        """Record that the PDS has lost the audio that the record names, and refuses to take it again."""
        if self.blob is not None:
            self.trigger_event(Track.BlobLost, reason=reason, timestamp=at)

    def blob_accepts(self, audio_cid: str) -> bool:
        """Whether the record may name a blob with this audio."""
        return self.deleted_at is None and self.support_gate is None and self.audio.cid == audio_cid

    def wants_blob(self, audio_cid: str) -> bool:
        """Whether the PDS has to hold this audio: the owner requested a copy, or the record names one."""
        return self.blob_accepts(audio_cid) and (self.blob_requested or self.blob is not None)


def media_cids(track: Track) -> tuple[str, ...]:
    return (track.audio.cid, *cids_in(track.artwork))
