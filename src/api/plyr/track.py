"""A track as the peer's clients read it: every field of theirs, each true here or the default that docs/plyr.md names."""

from collections.abc import Collection, Sequence
from typing import Any, Final
from urllib.parse import urlencode
from uuid import NAMESPACE_URL, uuid5

import sqlalchemy as sa
from pydantic import BaseModel

from aggregates.values import Downloads, slug_of
from api.responses.profile import avatars_of
from api.responses.track import TrackBody, track_bodies
from api.services import Services
from application.authorization import Supporters, supported_artists
from application.lists.albums import SHOWN_TO_OTHERS
from eventstore.streams.ids import peer_ids_of
from identity.accounts.accounts import accounts_of, handle_in
from identity.accounts.credentials import Principal, did_of
from outbox.tracks.record import RecordUrls
from projections.lists import IS_UP, albums_where
from projections.lists import it as list_columns
from projections.tracks.table import TrackView


class AlbumBody(BaseModel):
    id: str
    slug: str
    title: str
    image_url: str | None = None
    thumbnail_url: str | None = None


_KEY: Final = (list_columns.did, list_columns.name)


def album_bodies(
    connection: sa.Connection, titles: Collection[tuple[str, str]], urls: RecordUrls, viewer: str | None
) -> dict[tuple[str, str], AlbumBody]:
    """Return the albums with these DIDs and titles that the viewer may know of; of a text that no album follows yet, what it will be."""
    named = [column.in_({*values}) for column, values in zip(_KEY, zip(*titles, strict=True), strict=False)]
    is_shown = (IS_UP & SHOWN_TO_OTHERS).label("is_shown")
    rows = albums_where(connection, *named, beside=[is_shown]) if titles else []
    found = {(row.did, row.name): row for row in rows}
    return {
        (did, title): album_body(found[did, title], urls)
        if (did, title) in found
        else AlbumBody(id=_id_of_name(did, title), slug=slug_of(title), title=title)
        for did, title in titles
        if (did, title) not in found or did == viewer or found[did, title].is_shown
    }


def album_body(album: Any, urls: RecordUrls) -> AlbumBody:
    """Return an album of `albums_where`; its id is made of its artist and its first name, so that it stays through renames."""
    apart = "" if album.is_first else f"\n{album.list_id}"
    cover, thumbnail = album.artwork_cid, album.artwork_thumbnail_cid
    return AlbumBody(
        id=_id_of_name(album.did, f"{album.first_name}{apart}"),
        slug=album.slug,
        title=album.name,
        image_url=urls.artwork(cover) if cover else None,
        thumbnail_url=urls.artwork(thumbnail) if thumbnail else None,
    )


def _id_of_name(did: str, name: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"{did}\n{name}"))


def album_with(services: Services, did: str, album_id: str) -> Any:
    """Return the artist's live album with this id, as `albums_where` does, or None."""
    with services.database.read() as connection:
        albums = albums_where(connection, list_columns.did == did)
    return next((each for each in albums if album_body(each, services.urls).id == album_id), None)


PUBLIC: Final = "public"
SUPPORTERS: Final = "supporters"
UNLISTED: Final = "unlisted"


class Person(BaseModel):
    """An account; one that has never signed in here is named by its handle."""

    did: str
    handle: str
    display_name: str
    avatar_url: str | None


class TrackResponse(BaseModel):
    """The fields of the peer's track, in its order; one with a default has nothing behind it here."""

    id: int
    """The id of a file of `adopt --peer-ids`; any other track has its own."""
    title: str
    artist: str
    """The artist's name as it is in the record."""
    artist_handle: str
    artist_did: str
    artist_avatar_url: str | None
    file_id: str
    """The CID of the audio."""
    file_type: str
    features: list[Person]
    """`display_name` of an artist who has signed in here, else the handle."""
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
    is_liked: bool
    like_count: int
    comment_count: int
    album: AlbumBody | None
    """`id` is a UUID made of the artist's DID and the album's first title."""
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


class People:
    """Accounts as the peer's clients are shown them."""

    def __init__(self, connection: sa.Connection, urls: RecordUrls, dids: Collection[str]) -> None:
        self.accounts: Final = accounts_of(connection, dids)
        self._avatars: Final = avatars_of(connection, urls, dids)

    def of(self, did: str, handle: str | None = None) -> Person:
        """Return an account, with this handle where one is given."""
        account, handle = self.accounts.get(did), handle or handle_in(self.accounts, did)
        name = account.name if account is not None else handle
        return Person(did=did, handle=handle, display_name=name, avatar_url=self._avatars.get(did))


def track_responses(
    connection: sa.Connection, views: Sequence[TrackView], urls: RecordUrls, caller: Principal | None
) -> list[TrackResponse]:
    peer_ids = peer_ids_of(connection, [view.track_id for view in views])
    dids = {view.did for view in views} | {feature.did for view in views for feature in view.features}
    people = People(connection, urls, dids)
    viewer = did_of(caller)
    bodies = track_bodies(connection, views, urls, viewer)
    albums = album_bodies(connection, {(view.did, view.album) for view in views if view.album}, urls, viewer)
    return [
        _response(
            *(view, body, peer_ids[view.track_id], people),
            album=albums.get((view.did, view.album or "")),
            caller=caller,
        )
        for view, body in zip(views, bodies, strict=True)
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
    people: People,
    *,
    album: AlbumBody | None,
    caller: Principal | None,
) -> TrackResponse:
    is_owner = did_of(caller) == view.did
    is_gated = view.support_gate is not None and not is_owner
    is_offered = not is_gated and view.downloads in {Downloads.OPEN, Downloads.ASK}
    listening = SUPPORTERS if view.support_gate is not None else PUBLIC
    access = {
        "listening": listening,
        "downloads": view.downloads.value,
        "visibility": UNLISTED if view.unlisted else PUBLIC,
    }
    is_missing, owner = view.record_missing_since is not None, people.accounts.get(view.did)
    place = urlencode({"repo": view.did, "collection": view.collection, "rkey": view.rkey}, safe=":")
    return TrackResponse(
        **body.model_dump(include=SAME),
        id=shown_as,
        artist_avatar_url=people.of(view.did).avatar_url,
        features=[people.of(feature.did, feature.handle) for feature in body.features],
        r2_url=body.audio_url,
        atproto_record_uri=None if is_missing else body.atproto_record_uri,
        atproto_record_url=None
        if is_missing or owner is None
        else f"{owner.pds_url}/xrpc/com.atproto.repo.getRecord?{place}",
        album=album,
        gated=is_gated,
        downloadable=is_owner or is_offered,
        download_policy=view.downloads.value,
        audio_storage="both" if body.audio_storage == "both" else "r2",
        visibility=UNLISTED if view.unlisted else listening,
        publishing={"access": access, "attach_rights": False},
        labels=body.self_labels,
    )
