"""Reads of lists: those of an artist; and what pages read beside what the routes answer, deleted ones too, and one by its address."""

from collections.abc import Sequence
from typing import Annotated, Any

import sqlalchemy as sa
from fastapi import APIRouter, Path, Query

from aggregates.values import Visibility
from api.auth.authentication import OptionalCaller, ServicesDep
from api.json_response import Page, cut
from api.requests.parameters import NO_TRACK, PageQuery, StrictRoute, cursor_of, page_length
from api.responses.list import (
    ALBUMS,
    PLAYLISTS,
    AlbumBody,
    AlbumRow,
    PlaylistBody,
    PlaylistRow,
    ShownList,
    list_body,
    list_rows,
)
from api.routers.lists.lists import read_list
from api.routers.tracks.tracks import artist_of
from api.services import Services
from application.authorization import may_see
from application.errors import ListNotFoundError
from application.lists.albums import SHOWN_TO_OTHERS
from application.subjects import require_owned
from eventstore.untrusted import is_storable
from identity.accounts.credentials import Principal, did_of
from projections.lists import IS_ALBUM, IS_UP, LIVE, album_at, it, track_list


def own_list(
    principal: Principal, services: Services, door: ShownList, list_id: int
) -> AlbumBody | PlaylistBody:
    """Return the caller's own list, a deleted one too; raises as `require_owned`."""
    with services.database.read() as connection:
        on = door.on(list_id)
        made = require_owned(services.log, connection, principal.did, on, deleted_too=True)
        return list_body(services, connection, door, made, principal.did)


def read_album(caller: Principal | None, services: Services, did: str, slug: str) -> AlbumBody | PlaylistBody:
    """Return the album of an account with this slug; raises ListNotFoundError."""
    with services.database.read() as connection:
        list_id = album_at(connection, did, slug) if is_storable(slug) else None
    return read_list(caller, services, ALBUMS, list_id or NO_TRACK)


def album_titled(
    caller: Principal | None, services: Services, did: str, title: str
) -> AlbumRow | PlaylistRow:
    """Return the album that the text of a track names; raises ListNotFoundError."""
    is_own = did_of(caller) == did
    is_shown = sa.true() if is_own else SHOWN_TO_OTHERS
    query = sa.select(track_list).where(it.did == did, it.name == title, LIVE, IS_ALBUM, is_shown)
    with services.database.read() as connection:
        found = connection.execute(query.limit(1)).all()
        rows = [row for row in found if may_see(caller, did, row.taken_down_at)]
        for row in list_rows(services, connection, ALBUMS, rows, caller):
            return row
    raise ListNotFoundError


Artist = Annotated[str, Path(description="a handle or a DID")]
router = APIRouter(tags=["artists"], route_class=StrictRoute)


@router.get("/artists/{artist}/albums")
def albums_of_artist(
    caller: OptionalCaller, services: ServicesDep, artist: Artist, wanted: Annotated[PageQuery, Query()]
) -> Page[AlbumRow]:
    """List the albums of an artist, newest first."""
    return page_of_lists(caller, services, ALBUMS, artist_of(services, artist).did, wanted)


@router.get("/artists/{artist}/playlists")
def playlists_of_artist(
    caller: OptionalCaller, services: ServicesDep, artist: Artist, wanted: Annotated[PageQuery, Query()]
) -> Page[PlaylistRow]:
    """List the playlists of an artist, newest first; private ones are for their owner alone."""
    return page_of_lists(caller, services, PLAYLISTS, artist_of(services, artist).did, wanted)


def page_of_lists(
    caller: Principal | None,
    services: Services,
    door: ShownList,
    did: str,
    wanted: PageQuery,
    *,
    deleted: bool = False,
) -> Page[Any]:
    """Return an account's lists of a type that the caller may know of, newest first."""
    before, limit = cursor_of(wanted.cursor), page_length(wanted.limit)
    with services.database.read() as connection:
        found = lists_of(connection, caller, door, did, before=before, limit=limit + 1, deleted=deleted)
        rows, cursor = cut(found, limit, lambda row: row.list_id)
        return Page[Any](items=list_rows(services, connection, door, rows, caller), cursor=cursor)


def lists_of(
    connection: sa.Connection,
    caller: Principal | None,
    door: ShownList,
    did: str,
    *,
    before: int | None = None,
    limit: int,
    deleted: bool = False,
) -> Sequence[Any]:
    """Return rows of the lists of an account that the caller may know of, newest first."""
    these = [it.did == did, ~LIVE if deleted else LIVE, it.list_type == door.list_type.value]
    if did_of(caller) != did:
        these += [it.visibility == Visibility.PUBLIC.value, IS_UP]
        these += [SHOWN_TO_OTHERS] if door is ALBUMS else []
    if before is not None:
        these.append(it.list_id < before)
    query = sa.select(track_list).where(*these).order_by(it.list_id.desc()).limit(limit)
    return connection.execute(query).all()
