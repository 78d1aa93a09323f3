"""Albums for the peer's clients, by UUID and by slug, and lists of either type by the URIs of their records."""

from dataclasses import replace
from functools import partial
from typing import Annotated, Any, Final

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Response
from pydantic import BaseModel, Field, Strict
from starlette.concurrency import run_in_threadpool

from aggregates.lists.track_list import TrackList
from aggregates.published import Subject
from aggregates.values import slug_of
from api.auth.authentication import OptionalCaller, ServicesDep
from api.json_response import AsciiJsonResponse, cut
from api.middleware.request_threads import in_thread
from api.openapi import names
from api.pipeline.command_request import Command, CommandRequest
from api.plyr.playlists import ORDER, answer_cover, answer_order, tracks_in
from api.plyr.reading import MAX_LISTED, ROUTER, Json, PeerTrackId, Reader, says
from api.plyr.track import album_body, album_with
from api.requests.body import Body, fields_as
from api.requests.fields import Structured
from api.requests.parameters import NO_TRACK, TrackId, cursor_of, subject_at
from api.responses.list import ALBUMS, DOORS, PLAYLISTS, ShownList
from api.responses.reader import SubjectReader
from api.routers.lists import reads as list_reads
from api.routers.lists.lists import answer_list, answer_new_list, creation_of, edit_of, list_of, read_list
from api.routers.tracks.tracks import artist_of
from api.services import Services
from application.errors import ListNotFoundError
from application.lists.albums import unseen_counts
from application.lists.commands import (
    CreateList,
    EditList,
    Entry,
    OnList,
    Rearrange,
    RemoveItem,
    create_list,
    delete_list,
)
from application.subjects import On, find
from eventstore.idempotency import CommandResult
from eventstore.streams.ids import track_id_of
from eventstore.unit_of_work import UnitOfWork
from identity.accounts.accounts import accounts_of
from outbox.pds.client import RecordKey
from projections.lists import albums_where, it
from storage.media import Reserved

router: Final = APIRouter(**ROUTER)


async def album_behind(album_uuid: str, request: Command) -> int:
    found = await run_in_threadpool(album_with, request.services, request.principal.did, album_uuid)
    return NO_TRACK if found is None else int(found.list_id)


AlbumId = Annotated[int, Depends(album_behind)]
"""Our id of the caller's album with this UUID."""


def _metadata(services: Services, connection: sa.Connection, ours: Any) -> Json:
    """Return an album of our own routes as the peer's clients read it."""
    [album] = albums_where(connection, it.did == ours.owner_did, it.list_id == ours.id)
    artist = accounts_of(connection, [ours.owner_did]).get(ours.owner_did)
    return {
        **_row(services, album, ours.track_count),
        "description": ours.description,
        "artist": ours.owner_handle if artist is None else artist.name,
        "artist_handle": ours.owner_handle,
        "artist_did": ours.owner_did,
        "list_uri": ours.uri,
    }


def _row(services: Services, album: Any, track_count: int) -> Json:
    shown = album_body(album, services.urls).model_dump(exclude={"thumbnail_url"})
    return {**shown, "track_count": track_count, "total_plays": 0}


def shown_album(reader: SubjectReader, subject: Subject) -> CommandResult:
    ours = list_of(ALBUMS, reader, subject)
    return CommandResult(200, _metadata(reader.services, reader.connection, ours), {})


@router.get("/albums/{artist}")
def list_albums(
    artist: str, services: ServicesDep, caller: OptionalCaller, cursor: str | None = None
) -> Response:
    """List the albums of an artist that have tracks, by their titles; of very many, a page of the newest."""
    did, before = artist_of(services, artist).did, cursor_of(cursor)
    with services.database.read() as connection:
        found = list_reads.lists_of(connection, caller, ALBUMS, did, before=before, limit=MAX_LISTED + 1)
        listed, more = cut(found, MAX_LISTED, lambda album: album.list_id)
        page = [album.list_id for album in listed]
        albums = albums_where(connection, it.did == did, it.list_id.in_(page))
        unseen = unseen_counts(connection, did, page, caller)
    albums = sorted(albums, key=lambda album: (album.name or "").casefold())
    counts = {album.list_id: album.track_count - unseen.get(album.list_id, 0) for album in albums}
    rows = [_row(services, album, counts[album.list_id]) for album in albums if counts[album.list_id]]
    return AsciiJsonResponse({"albums": rows, "next_cursor": more, "has_more": more is not None})


@router.get("/albums/{artist}/{slug}")
async def read_album(artist: str, slug: str, reader: Reader) -> Response:
    services = reader.services

    def read() -> tuple[Json, Any]:
        ours = list_reads.read_album(reader.caller, services, artist_of(services, artist).did, slug)
        with services.database.read() as connection:
            return _metadata(services, connection, ours), ours

    metadata, ours = await in_thread(read)
    return AsciiJsonResponse({"metadata": metadata, "tracks": await tracks_in(ours, reader)})


def find_or_make(unit: UnitOfWork, command: CreateList, reserved: Reserved) -> TrackList:
    """Return the album with this slug or title; the peer's page makes it before its tracks, and again for more of them."""
    named = sa.or_(it.slug == (command.slug or slug_of(command.name)), it.name == command.name)
    known = albums_where(unit.connection, it.did == unit.account, named)
    if known:
        return unit.load(TrackList, TrackList.create_id(known[0].list_id))
    return create_list(unit, command, reserved)


@router.post("/albums", openapi_extra=names("title", "slug", "description"))
@router.post("/albums/", openapi_extra=names("title", "slug", "description"))
async def create(request: Command) -> Response:
    """Make an album that has a record once it is finalized."""

    async def parse(request: CommandRequest, body: Body) -> CreateList:
        return replace(await creation_of(request, body, door=ALBUMS), record_requested=False)

    return await answer_new_list(request, parse, shown_album, find_or_make)


class Finalized(BaseModel):
    track_ids: Annotated[list[Annotated[int, Strict()]], Structured] = Field(min_length=1)


@router.post("/albums/{album_uuid}/finalize", openapi_extra=names(*Finalized.model_fields))
async def finalize(album_id: AlbumId, request: Command) -> Response:
    """Put these tracks of the album in their order, and have a record of it."""

    async def parse(request: CommandRequest, body: Body, _on: OnList) -> Rearrange:
        numbers = fields_as(Finalized, body).track_ids

        def entries() -> list[Entry]:
            with request.services.database.read() as connection:
                return [Entry(track_id_of(connection, number) or NO_TRACK) for number in numbers]

        return Rearrange(await run_in_threadpool(entries))

    return await answer_list(request, ALBUMS, album_id, parse, shown_album)


@router.post("/albums/{album_uuid}/cover", openapi_extra=names("image"))
async def replace_cover(album_id: AlbumId, request: Command) -> Response:
    return await answer_cover(request, ALBUMS, album_id)


@router.patch("/albums/{album_uuid}")
async def edit(
    album_id: AlbumId, request: Command, title: str | None = None, description: str | None = None
) -> Response:
    async def parse(request: CommandRequest, _body: Body, on: OnList) -> EditList:
        given = {"title": title, "description": description}
        fields = {name: value for name, value in given.items() if value is not None}
        return await edit_of(request, Body(fields), on, confirm=True)

    return await answer_list(request, ALBUMS, album_id, parse, shown_album)


@router.delete("/albums/{album_uuid}")
async def delete(album_id: AlbumId, request: Command, cascade: bool = False) -> Response:
    """Delete the album, and with `cascade` its tracks."""
    on = ALBUMS.on(album_id, request.versions)
    use_case = partial(delete_list, on=on, confirm=not cascade, with_tracks=cascade)
    return await request.answer(use_case, says(deleted=True, cascade=cascade), on=on)


@router.delete("/albums/{album_uuid}/tracks/{track_id}")
async def remove(album_id: AlbumId, track_id: TrackId, found: PeerTrackId, request: Command) -> Response:
    removed = says(removed=True, track_id=track_id)
    return await answer_list(request, ALBUMS, album_id, lambda *_: RemoveItem(Entry(found)), removed)


def list_at(services: Services, uri: str) -> tuple[ShownList, int]:
    """Return the list whose record has this URI, and its door; raises ListNotFoundError."""
    with services.database.read() as connection:
        list_id = subject_at(connection, uri, TrackList)
        made = find(services.log, connection, On(TrackList, list_id)) if list_id is not None else None
    for door in DOORS:
        if made is not None and made.list_type == door.list_type:
            return door, made.list_id
    raise ListNotFoundError


@router.get("/lists/by-uri")
def find_list(uri: str, caller: OptionalCaller, services: ServicesDep) -> Response:
    door, list_id = list_at(services, uri)
    ours = read_list(caller, services, door, list_id)
    if door is PLAYLISTS:
        found: Json = {"type": "playlist", "id": str(ours.id), "handle": None, "slug": None}
    else:
        with services.database.read() as connection:
            album = _metadata(services, connection, ours)
        found = {"type": "album", "id": album["id"], "handle": ours.owner_handle, "slug": ours.slug}
    return AsciiJsonResponse(found)


@router.put("/lists/{rkey}/reorder", openapi_extra=ORDER)
async def reorder(rkey: str, request: Command) -> Response:
    """Order a list of the caller's by the key of its record."""
    services = request.services
    key = RecordKey(request.principal.did, services.collection_of(TrackList.TOPIC), rkey)
    door, list_id = await run_in_threadpool(list_at, services, key.uri)
    return await answer_order(request, door, list_id)
