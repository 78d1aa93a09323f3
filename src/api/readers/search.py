"""Finds artists, albums, playlists and tags by their names, for pages: those that lists show to the caller."""

from typing import Any, Final

import sqlalchemy as sa

from api.services import Services
from eventstore.untrusted import is_storable
from identity.accounts.accounts import Account, accounts_of, handle_in
from identity.accounts.credentials import Principal, did_of
from projections.lists import IS_UP, albums_where, it, playlists_named
from projections.tracks.queries import albums_named, artists_named, tags_by_use, with_tracks

MAX_FOUND: Final = 12
"""Of each kind."""
MAX_TAGS: Final = 200


Json = dict[str, Any]


def used_tags(caller: Principal | None, services: Services) -> Json:
    """Return the tags of listed tracks, the most used first."""
    with services.database.read() as connection:
        return {"items": _tags(connection, did_of(caller), limit=MAX_TAGS)}


def found_beside_tracks(caller: Principal | None, services: Services, q: str) -> Json:
    """Find artists, albums, playlists and tags whose names contain a text, in any case."""
    if not is_storable(q):
        return {"artists": [], "albums": [], "playlists": [], "tags": []}
    viewer = did_of(caller)
    with services.database.read() as connection:
        named = {(row.did, row.title) for row in albums_named(connection, viewer, q, limit=MAX_FOUND)}
        dids, titles = {did for did, _ in named}, {title for _, title in named}
        # an album that no list follows yet has no page
        followed = albums_where(connection, IS_UP, it.did.in_(dids), it.name.in_(titles)) if named else []
        albums = [row for row in followed if (row.did, row.name) in named]
        playlists = playlists_named(connection, q, limit=MAX_FOUND)
        owners = accounts_of(connection, {row.did for row in (*albums, *playlists)})
        return {
            "artists": [
                {"did": each.did, "handle": each.handle, "display_name": each.name}
                for each in artists_found(connection, services, viewer, q, limit=MAX_FOUND)
            ],
            "albums": [{**_list(row, owners), "slug": row.slug} for row in albums],
            "playlists": [_list(row, owners) for row in playlists],
            "tags": _tags(connection, viewer, part=q, limit=MAX_FOUND),
        }


def artists_found(
    connection: sa.Connection, services: Services, viewer: str | None, q: str, *, limit: int
) -> list[Account]:
    """Return artists whose name, on a listed track, or whose handle contains a text."""
    named = artists_named(connection, viewer, q, limit=limit)
    of_part = services.accounts.with_handle_part(q, limit=limit)
    listed = with_tracks(connection, viewer, [account.did for account in of_part])
    return list(accounts_of(connection, [*named, *listed]).values())[:limit]


def _list(row: Any, owners: dict[str, Account]) -> Json:
    owner = {"owner_did": row.did, "owner_handle": handle_in(owners, row.did)}
    return {"id": row.list_id, "title": row.name, **owner}


def _tags(connection: sa.Connection, viewer: str | None, *, part: str = "", limit: int) -> list[Json]:
    rows = tags_by_use(connection, viewer, part=part, limit=limit)
    return [{"name": row.name, "tracks": row.tracks} for row in rows]
