"""A track as the peer's clients read it: every field of theirs, each true here or the default that docs/plyr.md names."""

from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlencode

from pydantic import BaseModel
from sqlalchemy import Connection

from aggregates.values import Downloads
from api.plyr.albums import AlbumBody, album_of
from api.plyr.publishing_fields import SUPPORTERS, download_policy_of, publishing_of, visibility_of
from api.responses.read_tracks import track_bodies
from api.responses.track import FeatureBody, TrackBody
from application.playback_access import Supporters, supported_artists
from eventstore.streams.track_ids import peer_ids_of
from identity.accounts.accounts import Account, accounts_of
from identity.accounts.credentials import Principal
from outbox.tracks.record import RecordUrls
from projections.tracks.view import TrackView


class FeaturedArtist(BaseModel):
    """A featured artist; one who never signed in here is named by the handle."""

    did: str
    handle: str
    display_name: str
    avatar_url: str | None = None


class TrackResponse(BaseModel):
    """The fields of the peer's track, in its order; one with a default has nothing behind it here."""

    id: int
    """The id of a file of `adopt --peer-ids`; any other track has its own."""
    title: str
    artist: str
    """The artist's name as it is in the record."""
    artist_handle: str
    artist_did: str
    artist_avatar_url: str | None = None
    file_id: str
    """The CID of the audio."""
    file_type: str
    features: list[FeaturedArtist]
    """`display_name` of an artist who has signed in here, else the handle; `avatar_url` is always null."""
    r2_url: str
    """Where the audio is played."""
    atproto_record_uri: str | None
    """Null once another client deleted the record, until its owner restores it."""
    atproto_record_cid: str | None
    """Null until the PDS confirmed the record."""
    atproto_record_url: str | None
    """The record at the artist's PDS; null if that is not known."""
    play_count: int = 0
    created_at: str
    """As it is in the record."""
    image_url: str | None
    thumbnail_url: str | None
    is_liked: bool = False
    like_count: int = 0
    comment_count: int = 0
    album: AlbumBody | None
    """`id` is a UUID made of the artist's DID and the title; `image_url` and `thumbnail_url` are always null."""
    tags: list[str]
    copyright_flagged: bool | None = None
    copyright_match: str | None = None
    support_gate: dict[str, Any] | None
    gated: bool
    """Whether the track has a gate that is closed to the caller."""
    downloadable: bool
    """Whether the caller may download the audio."""
    download_policy: str
    artist_support_url: str | None = None
    copyright_song_uri: str | None = None
    copyright_recording_uri: str | None = None
    original_file_id: str | None = None
    original_file_type: str | None = None
    description: str | None
    audio_storage: str
    """`both` once the record on the PDS names the audio, else `r2`."""
    pds_blob_cid: str | None
    is_optimizing: bool = False
    visibility: str
    """`unlisted`, `supporters` for a listed track with a gate, else `public`."""
    unlisted: bool
    publishing: dict[str, Any]
    """`access` has `listening`, `downloads` and `visibility`; `attach_rights` is always false."""
    policy_origin: str = "track"
    self_labels: list[str]
    operator_labels: list[str] = []
    labels: list[str]


SAME: Final = (set(TrackResponse.model_fields) & set(TrackBody.model_fields)) - {
    "id",
    "features",
    "album",
    "audio_storage",
    "atproto_record_uri",
}
"""The fields that mean the same in our own body."""


def track_responses(
    connection: Connection, views: Sequence[TrackView], urls: RecordUrls, caller: Principal | None
) -> list[TrackResponse]:
    """Return the tracks as `caller` is shown them, in their order."""
    peer_ids = peer_ids_of(connection, [view.track_id for view in views])
    accounts = accounts_of(
        connection,
        {view.did for view in views} | {feature.did for view in views for feature in view.features},
    )
    return [
        _response(view, body, peer_ids[view.track_id], accounts, caller)
        for view, body in zip(views, track_bodies(connection, views, urls), strict=True)
    ]


async def with_gates_open(
    tracks: Sequence[TrackResponse], caller: Principal | None, supporters: Supporters | None
) -> list[dict[str, Any]]:
    """Return the tracks as JSON, those not gated that the caller may hear as a supporter."""
    limited = {track.artist_did for track in tracks if track.gated or track.download_policy == SUPPORTERS}
    if caller is not None and (artists := limited - {caller.did}):
        supported = await supported_artists(caller, artists, supporters)
        for track in tracks:
            if track.artist_did in supported:
                track.gated = False
                track.downloadable = track.downloadable or track.download_policy != Downloads.OFF
    return [track.model_dump(mode="json") for track in tracks]


def _response(
    view: TrackView,
    body: TrackBody,
    shown_as: int,
    accounts: dict[str, Account],
    caller: Principal | None,
) -> TrackResponse:
    is_owner = caller is not None and caller.did == view.did
    is_gated = view.support_gate is not None and not is_owner
    is_offered = not is_gated and view.downloads in {Downloads.OPEN, Downloads.ASK}
    is_missing = view.record_missing_since is not None
    return TrackResponse(
        **body.model_dump(include=SAME),
        id=shown_as,
        features=[_featured(feature, accounts) for feature in body.features],
        r2_url=body.audio_url,
        atproto_record_uri=None if is_missing else body.atproto_record_uri,
        atproto_record_url=None if is_missing else _record_url(view, accounts),
        album=None if view.album is None else album_of(view.did, view.album),
        gated=is_gated,
        downloadable=is_owner or is_offered,
        download_policy=download_policy_of(view),
        audio_storage="both" if body.audio_storage == "both" else "r2",
        visibility=visibility_of(view),
        publishing=publishing_of(view),
        labels=body.self_labels,
    )


def _featured(feature: FeatureBody, accounts: dict[str, Account]) -> FeaturedArtist:
    known = accounts.get(feature.did)
    name = feature.handle if known is None else known.name
    return FeaturedArtist(did=feature.did, handle=feature.handle, display_name=name)


def _record_url(view: TrackView, accounts: dict[str, Account]) -> str | None:
    owner = accounts.get(view.did)
    if owner is None:
        return None
    query = urlencode({"repo": view.did, "collection": view.collection, "rkey": view.rkey}, safe=":")
    return f"{owner.pds_url}/xrpc/com.atproto.repo.getRecord?{query}"
