"""A track as JSON."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, cast

from pydantic import AfterValidator, BaseModel, Field

from api.json_response import body_from
from outbox.tracks.record import RecordUrls
from outbox.views.status import Mirror
from projections.tracks.view import TrackView

if TYPE_CHECKING:
    from aggregates.track import Track


class FeatureBody(BaseModel):
    """A featured artist, with the handle as it was when the track named them."""

    did: str
    handle: str


class SupportGateBody(BaseModel):
    """The gate before playback."""

    type: str


def _not_in_the_past(time: datetime | None) -> datetime | None:
    return None if time is None else max(time, datetime.now(UTC))


Upcoming = Annotated[datetime | None, AfterValidator(_not_in_the_past)]
"""When something comes: now, where it should have begun already."""


class MirrorBody(BaseModel):
    """How far the record on the PDS is from the log."""

    state: str = Field(description="delivered, pending, parked, held, detached or rejected")
    generation: int
    acked_generation: int
    reason: str | None
    next_attempt_at: Upcoming

    @classmethod
    def of(cls, mirror: Mirror) -> "MirrorBody":
        return body_from(cls, mirror)


class TrackBody(BaseModel):
    """A track. `version` is also its ETag; `audio_storage` says `both` once the record on the PDS names the blob."""

    id: int
    version: int
    title: str
    artist: str
    artist_did: str
    artist_handle: str
    album: str | None
    features: list[FeatureBody]
    tags: list[str]
    description: str | None
    support_gate: SupportGateBody | None
    unlisted: bool
    downloads: str = Field(
        description="who may download the audio, of those who may play it: open, ask, supporters or off"
    )
    self_labels: list[str]
    file_id: str
    file_type: str
    duration: int | None
    audio_url: str
    audio_kept: bool = Field(
        description="whether its audio can be played; of a past state, whether it still can"
    )
    audio_kept_until: datetime | None = Field(
        description="of audio that the track no longer has: until when it is kept at least"
    )
    image_url: str | None
    thumbnail_url: str | None
    audio_storage: str
    pds_blob_cid: str | None
    atproto_record_uri: str
    atproto_record_cid: str | None
    created_at: str
    updated_at: datetime
    deleted_at: datetime | None
    taken_down_at: datetime | None = Field(
        description="since when an operator hides the track from all but its owner and admins"
    )
    mirror: MirrorBody

    @property
    def etag(self) -> str:
        """The version as an entity tag."""
        return f'"{self.version}"'


def track_body(view: TrackView, mirror: Mirror, *, handle: str, on_pds: bool, urls: RecordUrls) -> TrackBody:
    artwork = view.artwork
    return TrackBody(
        id=view.track_id,
        version=view.visible_version,
        title=view.title,
        artist=view.artist,
        artist_did=view.did,
        artist_handle=handle,
        album=view.album,
        features=[FeatureBody(did=feature.did, handle=feature.handle) for feature in view.features],
        tags=list(view.tags),
        description=view.description,
        support_gate=SupportGateBody(type=view.support_gate.type) if view.support_gate else None,
        unlisted=view.unlisted,
        downloads=view.downloads.value,
        self_labels=list(view.self_labels),
        file_id=view.audio.cid,
        file_type=view.audio.file_type,
        duration=view.audio.duration,
        audio_url=urls.audio(cast("Track", view)),  # the view has the attributes that the address needs
        audio_kept=True,
        audio_kept_until=None,
        image_url=urls.artwork(artwork.cid) if artwork else view.image_url,
        thumbnail_url=urls.artwork(artwork.thumbnail_cid) if artwork else None,
        audio_storage="both" if on_pds else "service",
        pds_blob_cid=view.audio.cid if on_pds else None,
        atproto_record_uri=mirror.record_uri,
        atproto_record_cid=mirror.record_cid,
        created_at=view.created_at,
        updated_at=view.updated_at,
        deleted_at=view.deleted_at,
        taken_down_at=view.taken_down_at,
        mirror=MirrorBody.of(mirror),
    )


def is_on_pds(track: TrackBody) -> bool:
    """Whether the record on the PDS names the blob."""
    return track.audio_storage == "both"
