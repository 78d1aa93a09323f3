"""Reads tracks: of all artists, and the caller's own with those that no public list shows; and reads artists."""

from dataclasses import dataclass
from operator import attrgetter
from typing import Annotated, Any, Final

import sqlalchemy as sa
from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from aggregates.errors import InvalidFieldError
from aggregates.tracks.track import Track
from api.auth.authentication import OptionalCaller, ServicesDep, SignedIn
from api.errors import ArtistNotFoundError
from api.json_response import AsciiJsonResponse, Page, body_from, cut, opaque
from api.openapi import errors
from api.pipeline.past import AsOf, past_views
from api.requests.parameters import (
    MAX_ID,
    MAX_PAGE_LENGTH,
    OneOf,
    PageQuery,
    StrictRoute,
    TrackId,
    cursor_of,
    page_length,
)
from api.responses.profile import artists_as
from api.responses.track import TrackBody, one_track, past_track_body, track_bodies
from api.services import Services
from application.authorization import may_have_bytes, may_see
from application.errors import TrackNotFoundError
from application.tracks.revert import kept_audio
from eventstore.sql.database import count_rows
from eventstore.untrusted import is_storable
from identity.accounts.accounts import Account
from identity.accounts.credentials import Principal, did_of
from outbox.mirror.states import MirrorState
from outbox.mirror.tables import target
from outbox.views.status import DECIDES_STATE, STATE, TARGETS_AT_WORK
from projections.tracks.queries import AUDIO_COPY_STATE, AudioCopyState, TrackFilter, track_page
from projections.tracks.search import contains
from projections.tracks.table import LIVE, TrackView, tracks
from storage.artwork import THUMBNAIL_SIZE

IS_TRACK: Final = target.kind == Track.TOPIC

router = APIRouter(tags=["tracks"], route_class=StrictRoute)


class Listing(PageQuery):
    artist: str | None = Field(None, description="by the artist with this DID or handle")
    tag: str | None = Field(None, description="with this tag")
    album: str | None = Field(None, description="on this album")
    q: str | None = Field(None, description="with these words in title, artist or album")


@router.get("/tracks")
def list_tracks(
    caller: OptionalCaller, services: ServicesDep, wanted: Annotated[Listing, Query()]
) -> Page[TrackBody]:
    """List tracks, newest first. Unlisted tracks and those taken down are hidden, except from their owner.

    While there is a cursor there may be more, even after a page that is not full: for a `q` of one or two characters, and for
    several filters at once, each page looks at 1,000 tracks.
    """
    cursor, limit = cursor_of(wanted.cursor), page_length(wanted.limit)
    artist = wanted.artist
    if artist is not None and not artist.startswith("did:"):
        account = services.accounts.by_handle(artist) if is_storable(artist) else None
        if account is None:
            return Page[TrackBody](items=[], cursor=None)
        artist = account.did
    which = TrackFilter(
        artist,
        () if wanted.tag is None else (wanted.tag,),
        wanted.album,
        wanted.q,
        did_of(caller),
    )
    with services.database.read() as connection:
        page = track_page(connection, which, cursor=cursor, limit=limit)
        items = track_bodies(connection, page.items, services.urls, which.owner)
    return body_from(Page[TrackBody], page, items=items, cursor=opaque(page.cursor))


@router.get("/tracks/{track_id}", response_model=TrackBody, responses=errors(401, 403))
def read_track(
    caller: OptionalCaller, services: ServicesDep, track_id: TrackId, wanted: Annotated[AsOf, Query()]
) -> Response:
    """Read a track; its ETag is its version. Past states, with `version` or `at`, are for its owner and operators only.

    `mirror` and the fields about the record on the PDS always show the current state. `audio_url` of a past state plays its audio of
    then, for the same callers, as long as `audio_kept` says so; `image_url` shows its cover of then, as long as that is kept.
    """
    if wanted.version is not None or wanted.at is not None:
        return AsciiJsonResponse(past_track(caller, services, track_id, wanted))
    track = live_track(caller, services, track_id)
    return AsciiJsonResponse(track, headers=track.headers)


def past_track(caller: Principal | None, services: Services, track_id: int, wanted: AsOf) -> TrackBody:
    """Return a track as it was, for its owner and operators; raises as `past_state`."""
    of_then: dict[str, Any] = {}
    here = f"{services.base_url}/tracks/{track_id}"
    with services.database.read() as connection:
        now, then = past_views(services, track_id, wanted, caller)
        body = past_track_body(connection, then, services.urls, did_of(caller))
        is_shown = now.deleted_at is None and now.taken_down_at is None  # at the same addresses
        if not is_shown or (now.audio.cid, now.support_gate) != (then.audio.cid, then.support_gate):
            kept = kept_audio(connection, then.audio.cid, services.sweep_grace)
            of_then |= {
                "audio_url": f"{here}/audio?version={then.version}",
                "audio_kept": kept.is_kept and may_have_bytes(caller, now),
                "audio_kept_until": kept.until,
            }
    if then.artwork is not None and not (is_shown and now.artwork == then.artwork):
        cover = f"{here}/artwork?version={then.version}"
        of_then |= {"image_url": cover, "thumbnail_url": f"{cover}&size={THUMBNAIL_SIZE}"}
    return body.model_copy(update=of_then)


def live_track(caller: Principal | None, services: Services, track_id: int) -> TrackBody:
    """Return a track as it is, for those who may know of it; raises TrackNotFoundError."""
    with services.database.read_committed() as connection:
        track = one_track(connection, track_id, services.urls, did_of(caller))
    if track.deleted_at is not None or not may_see(caller, track.artist_did, track.taken_down_at):
        raise TrackNotFoundError
    return track


STATES = tuple(MirrorState)
COPIES = tuple(AudioCopyState)


class MyListing(PageQuery):
    """A filter of one's own tracks; empty restricts nothing but to the live ones."""

    mirror: list[Annotated[str, OneOf(STATES)]] = Field(
        [], description="with their mirror in one of these states"
    )
    audio: list[Annotated[str, OneOf(COPIES)]] = Field(
        [], description="with the copy of their audio in one of these states"
    )
    id: list[int] = Field([], description="with these ids", max_length=100)
    q: str | None = Field(None, description="with these words in title, artist or album")
    deleted: bool = Field(default=False, description="the deleted ones instead of the live ones")


class MyTrackBody(TrackBody):
    """A track, with what its owner needs to decide about a copy of its audio on the PDS."""

    audio_size: int = Field(description="in bytes")
    audio_copy: str = Field(
        description="the copy of the audio on the PDS: deleted, gated, uploaded, wanted, failed or unasked"
    )
    audio_refused: str | None = Field(description="why the PDS refused it")


class MyTracksBody(Page[MyTrackBody]):
    """Some of the account's own tracks, newest first, and the cursor of the next page when there is one."""

    counts: dict[str, int] | None = Field(
        description="all live tracks by the state of their mirror; null after the first page, and where ids are asked for"
    )
    audio_refused: int | None = Field(
        description="those of `counts` that are delivered without their audio, since the PDS refused it"
    )
    deleted: int | None = Field(description="how many are deleted; null where `counts` is")


@router.get("/me/tracks")
def list_my_tracks(
    principal: SignedIn, services: ServicesDep, wanted: Annotated[MyListing, Query()]
) -> MyTracksBody:
    """List the caller's own tracks, newest first, each with how its audio's copy on the PDS is; unlisted ones too."""
    before, limit = cursor_of(wanted.cursor), page_length(wanted.limit)
    query = sa.select(tracks, AUDIO_COPY_STATE.label("audio_copy")).order_by(tracks.c.track_id.desc())
    if before is not None:
        query = query.where(tracks.c.track_id < before)
    with services.database.read() as connection:
        query = query.where(*_conditions(connection, principal.did, wanted))
        rows, cursor = cut(connection.execute(query.limit(limit + 1)).all(), limit, attrgetter("track_id"))
        views = [TrackView.from_row(row) for row in rows]
        bodies = track_bodies(connection, views, services.urls, principal.did)
        is_first = before is None and not wanted.id
        counts, refused = _counts(connection, principal.did) if is_first else (None, None)
        deleted = count_rows(connection, tracks.c.did == principal.did, ~LIVE) if is_first else None
    items = [
        MyTrackBody(
            **vars(body),
            audio_size=row.audio_size,
            audio_copy=row.audio_copy,
            audio_refused=row.blob_failure if row.audio_copy == AudioCopyState.FAILED else None,
        )
        for body, row in zip(bodies, rows, strict=True)
    ]
    return MyTracksBody(items=items, cursor=cursor, counts=counts, audio_refused=refused, deleted=deleted)


@dataclass(frozen=True)
class OwnPage:
    """Some of an artist's tracks, how many match, and how many of the artist's have audio that may be copied to the PDS."""

    items: tuple[TrackView, ...]
    total: int
    copyable: int


def own_page(
    connection: sa.Connection, did: str, wanted: MyListing, *, by_title: bool, offset: int, limit: int
) -> OwnPage:
    """Read a page of an artist's tracks, newest first or by title, which is compared as search compares it."""
    copyable = (LIVE, tracks.c.did == did, tracks.c.support_gate.is_(None), tracks.c.blob_ref.is_(None))
    found = _conditions(connection, did, wanted)
    order = (tracks.c.search, tracks.c.track_id) if by_title else (tracks.c.track_id.desc(),)
    page = sa.select(tracks).where(*found).order_by(*order).offset(offset).limit(limit)
    views = tuple(map(TrackView.from_row, connection.execute(page)))
    return OwnPage(views, count_rows(connection, *found), count_rows(connection, *copyable))


def without_record(connection: sa.Connection, did: str) -> tuple[TrackView, ...]:
    """Return the live tracks whose record another client deleted."""
    missing = (LIVE, tracks.c.did == did, tracks.c.record_missing_since.is_not(None))
    rows = connection.execute(sa.select(tracks).where(*missing).order_by(tracks.c.track_id.desc()))
    return tuple(map(TrackView.from_row, rows))


def audio_sizes(connection: sa.Connection, did: str) -> dict[int, int]:
    """Return the bytes of each live track's audio, by track id."""
    query = sa.select(tracks.c.track_id, tracks.c.audio_size).where(LIVE, tracks.c.did == did)
    return {row.track_id: row.audio_size for row in connection.execute(query)}


def _conditions(connection: sa.Connection, did: str, wanted: MyListing) -> list[sa.ColumnElement[bool]]:
    conditions = [tracks.c.did == did, ~LIVE if wanted.deleted else LIVE]
    if wanted.id:
        conditions.append(tracks.c.track_id.in_([each for each in wanted.id if 0 < each <= MAX_ID]))
    if wanted.mirror:
        in_state = (
            sa.select(target.subject_id)
            .select_from(TARGETS_AT_WORK)
            .where(target.did == did, IS_TRACK, STATE.in_(wanted.mirror), DECIDES_STATE)
        )
        conditions.append(tracks.c.track_id.in_(in_state))
    if wanted.audio:
        conditions.append(AUDIO_COPY_STATE.in_(wanted.audio))
    if wanted.q is not None:
        conditions.append(contains(connection, wanted.q) if is_storable(wanted.q) else sa.false())
    return conditions


def _counts(connection: sa.Connection, did: str) -> tuple[dict[str, int], int]:
    """Count the live tracks by the state of their mirror, and the delivered ones whose audio was refused."""
    same = sa.and_(tracks.c.did == target.did, tracks.c.track_id == target.subject_id)
    refused = sa.case((AUDIO_COPY_STATE == AudioCopyState.FAILED, target.subject_id))
    rows = connection.execute(
        sa.select(
            STATE.label("mirror_state"),
            sa.func.count(target.subject_id.distinct()).label("tracks"),
            sa.func.count(refused.distinct()).label("refused"),
        )
        .select_from(TARGETS_AT_WORK.join(tracks, same))
        .where(target.did == did, IS_TRACK, LIVE, DECIDES_STATE)
        .group_by("mirror_state")
    ).all()
    refusals = sum(row.refused for row in rows if row.mirror_state == MirrorState.DELIVERED)
    return {str(row.mirror_state): row.tracks for row in rows}, refusals


artists = APIRouter(tags=["artists"], route_class=StrictRoute)

MAX_ARTISTS: Final = MAX_PAGE_LENGTH


class ArtistBody(BaseModel):
    """An artist, and the PDS on which the records of their tracks are."""

    did: str
    handle: str = Field(description="`handle.invalid` while the DID document does not confirm one")
    display_name: str = Field(description="the name set here, else that of the profile on the PDS")
    bio: str | None
    support_url: str | None = Field(description="where people support the artist")
    avatar_url: str | None
    pds_url: str


class ArtistsBody(BaseModel):
    """Those of the artists that are here."""

    items: list[ArtistBody]


class Wanted(BaseModel):
    did: list[str] = Field(description=f"1 to {MAX_ARTISTS} DIDs")


@artists.get("/artists")
def list_artists(
    caller: OptionalCaller, services: ServicesDep, wanted: Annotated[Wanted, Query()]
) -> ArtistsBody:
    """Read several artists; those who have not signed in here, or are leaving, are left out."""
    if len(wanted.did) > MAX_ARTISTS:
        raise InvalidFieldError("did", f"may be there {MAX_ARTISTS} times")
    found = services.accounts.of_dids([did for did in wanted.did if is_storable(did)])
    return ArtistsBody(items=artists_as(ArtistBody, services, found, caller))


@artists.get("/artists/{artist}")
def read_artist(
    caller: OptionalCaller,
    services: ServicesDep,
    artist: Annotated[str, Path(description="a handle or a DID")],
) -> ArtistBody:
    """Read an artist who has signed in here."""
    return artists_as(ArtistBody, services, [artist_of(services, artist)], caller)[0]


def artist_of(services: Services, name: str) -> Account:
    """Return the account with this DID or handle; raises ArtistNotFoundError, also where it is leaving."""
    find = services.accounts.get if name.startswith("did:") else services.accounts.by_handle
    account = find(name) if is_storable(name) else None
    if account is None or account.leaving_since is not None:
        raise ArtistNotFoundError
    return account
