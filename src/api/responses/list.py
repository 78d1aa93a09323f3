"""Albums and playlists as JSON: what the log says of them, their tracks as they are now, and how their records are."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from types import SimpleNamespace
from typing import Any, Final

import sqlalchemy as sa
from pydantic import BaseModel, Field

from aggregates.lists.track_list import TrackList
from aggregates.values import ListType
from api.json_response import Versioned, body_from
from api.responses.mirror import ShownKind, bodies_of
from api.responses.track import MirrorBody
from api.services import Services
from application.lists.albums import unseen_counts
from application.lists.commands import KEPT_BECAUSE, Known, OnList
from identity.accounts.accounts import accounts_of, handle_in
from identity.accounts.credentials import Principal
from outbox.lists.newest import status_of
from outbox.mirror.targets import PUT
from outbox.views.status import Mirror, mirrors
from projections.lists import row_of
from projections.tracks.queries import tracks_at


class EntryBody(BaseModel):
    """A track of a list, or a record of which only the address is known here."""

    track_id: int | None
    uri: str
    title: str | None
    artist: str | None
    gone: bool = Field(description="whether its artist has deleted it, or an operator hides it")


class ReferencesBody(BaseModel):
    """How far the record of a list is from those of its tracks."""

    state: str = Field(
        description="current; behind, until the relay has written the list again; or unfollowed, where `follow` is off"
    )
    since: datetime | None


class ListMirrorBody(MirrorBody):
    references: ReferencesBody


class AnyListBody(Versioned):
    """A list of tracks. `version` is also its ETag; without a record, `uri`, `cid` and `mirror` are null."""

    uri: str | None
    cid: str | None
    owner_did: str
    owner_handle: str
    slug: str
    description: str | None
    image_url: str | None
    thumbnail_url: str | None
    follow: bool = Field(description="whether its record follows tracks of other accounts")
    track_count: int
    created_at: str
    updated_at: datetime
    deleted_at: datetime | None
    taken_down_at: datetime | None = Field(
        description="since when an operator hides the list from all but its owner and operators"
    )


class AnyAlbumBody(AnyListBody):
    title: str
    release_date: str | None


class AnyPlaylistBody(AnyListBody):
    name: str
    visibility: str


class AlbumRow(AnyAlbumBody):
    """An album of a list of albums."""

    mirror: MirrorBody | None


class PlaylistRow(AnyPlaylistBody):
    """A playlist of a list of playlists."""

    mirror: MirrorBody | None


class AlbumBody(AnyAlbumBody):
    """An album with its tracks, in their order."""

    mirror: ListMirrorBody | None
    tracks: list[EntryBody]


class PlaylistBody(AnyPlaylistBody):
    """A playlist with its tracks, in their order."""

    mirror: ListMirrorBody | None
    tracks: list[EntryBody]


@dataclass(frozen=True, kw_only=True)
class ShownList(ShownKind[TrackList]):
    """A door to lists of one type."""

    list_type: ListType
    body: type[AlbumBody] | type[PlaylistBody]
    row: type[AlbumRow] | type[PlaylistRow]

    @property
    def word(self) -> str:
        return self.list_type.value

    @property
    def called(self) -> str:
        return "list of likes" if self.list_type is ListType.LIKED else self.word

    @property
    def plural(self) -> str:
        return "/liked" if self.list_type is ListType.LIKED else super().plural

    def on(self, subject_id: int, versions: frozenset[int] | None = None) -> OnList:
        return OnList(TrackList, subject_id, versions, self.list_type)

    def beside(self, connection: sa.Connection, subject: TrackList) -> dict[str, Any]:
        return {"references": body_from(ReferencesBody, status_of(connection, subject))}


KEPT_HERE: Final = frozenset({"description", "release_date", "artwork", "image_url"})

ALBUMS: Final = ShownList(
    TrackList,
    *bodies_of("album", references=(ReferencesBody, ...)),
    KEPT_BECAUSE,
    KEPT_HERE,
    list_type=ListType.ALBUM,
    body=AlbumBody,
    row=AlbumRow,
)
PLAYLISTS: Final = ShownList(
    TrackList,
    *bodies_of("playlist", references=(ReferencesBody, ...)),
    KEPT_BECAUSE,
    KEPT_HERE,
    list_type=ListType.PLAYLIST,
    body=PlaylistBody,
    row=PlaylistRow,
)
LIKED: Final = ShownList(
    TrackList,
    *bodies_of("liked", references=(ReferencesBody, ...)),
    list_type=ListType.LIKED,
    body=PlaylistBody,
    row=PlaylistRow,
)
"""The list of likes, which follows them: of its record, its owner decides."""
DOORS: Final = (ALBUMS, PLAYLISTS)
"""To lists that their owners order."""


def list_body(
    services: Services,
    connection: sa.Connection,
    door: ShownList,
    made: TrackList,
    viewer: str | None,
    *,
    mirror: Mirror | None = None,
    known: Known | None = None,
) -> AlbumBody | PlaylistBody:
    """Return a list as the viewer sees it; its mirror and its tracks are read where they are not known."""
    entries = _entries(connection, made, viewer, known or {})
    mirror = mirror or mirrors(connection, made.did, made.TOPIC, [made.list_id])[made.list_id]
    row = SimpleNamespace(**row_of(made))
    shown = _shown(services, row, mirror, handle_in(accounts_of(connection, [made.did]), made.did))
    if shown["mirror"] is not None:
        shown["mirror"] = body_from(ListMirrorBody, mirror, **door.beside(connection, made))
    return body_from(door.body, made, **shown, tracks=entries, track_count=len(entries))


def list_rows(
    services: Services,
    connection: sa.Connection,
    door: ShownList,
    rows: Sequence[Any],
    caller: Principal | None,
) -> list[AlbumRow | PlaylistRow]:
    """Return the bodies of rows of `track_list`, which are of one account."""
    if not rows:
        return []
    did = rows[0].did
    handle = handle_in(accounts_of(connection, [did]), did)
    list_ids = [row.list_id for row in rows]
    found = mirrors(connection, did, TrackList.TOPIC, list_ids)
    unseen = unseen_counts(connection, did, list_ids, caller)
    return [
        body_from(
            door.row,
            row,
            **_shown(services, row, found[row.list_id], handle),
            track_count=row.track_count - unseen.get(row.list_id, 0),
        )
        for row in rows
    ]


def _shown(services: Services, made: Any, mirror: Any, handle: str) -> dict[str, Any]:
    """Return what a row of a list does not have by the names of the body."""
    cid, thumbnail = made.artwork_cid, made.artwork_thumbnail_cid
    is_written = bool(mirror.record_uri) and mirror.desired_op == PUT
    return {
        "id": made.list_id,
        "version": made.visible_version,
        "uri": mirror.record_uri if is_written else None,
        "cid": mirror.record_cid if is_written else None,
        "owner_did": made.did,
        "owner_handle": handle,
        "image_url": services.urls.artwork(cid) if cid else None,
        "thumbnail_url": services.urls.artwork(thumbnail) if thumbnail else None,
        "title": made.name or "",
        "name": made.name or "",
        "mirror": body_from(MirrorBody, mirror) if is_written else None,
    }


def _entries(
    connection: sa.Connection, made: TrackList, viewer: str | None, known: Known
) -> list[dict[str, Any]]:
    """Return the entries, to be validated together: one by one, hundreds take long.

    A track that its owner has deleted is in none of their lists, and gone in those of others.
    """
    found = known | tracks_at(connection, [item.uri for item in made.items if item.uri not in known])
    entries = []
    for uri in (item.uri for item in made.items):
        entry: dict[str, Any] = {"track_id": None, "uri": uri, "title": None, "artist": None, "gone": False}
        if (view := found.get(uri)) is not None:
            is_deleted = view.deleted_at is not None
            is_seen = not view.unlisted or viewer in {view.did, made.did}
            if not is_seen or (is_deleted and view.did == made.did):
                continue
            entry |= {"track_id": view.track_id, "title": view.title, "artist": view.artist}
            if is_deleted or (view.taken_down_at is not None and view.did != viewer):
                entry |= {"title": None, "artist": None, "gone": True}
        entries.append(entry)
    return entries
