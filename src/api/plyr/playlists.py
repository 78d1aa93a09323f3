"""Playlists for the peer's clients. Each public one is shown on its owner's profile."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final

import sqlalchemy as sa
from fastapi import APIRouter, Depends, Query, Response
from pydantic import BaseModel, ConfigDict

from aggregates.errors import InvalidFieldError
from aggregates.lists.track_list import TrackList
from aggregates.published import Subject
from aggregates.values import Visibility
from api.auth.authentication import ServicesDep, SignedIn
from api.json_response import AsciiJsonResponse
from api.middleware.request_threads import in_thread
from api.openapi import names
from api.pipeline.command_request import Command, CommandRequest
from api.pipeline.list_entries import known_entries
from api.plyr.reading import MAX_LISTED, ROUTER, Json, PeerReader, Reader, says
from api.requests.body import Body, fields_as
from api.requests.fields import Flag, Structured
from api.requests.lists import PlaylistName, checked_entry
from api.requests.parameters import NO_TRACK
from api.responses.list import (
    PLAYLISTS,
    AlbumBody,
    PlaylistBody,
    ShownList,
    list_rows,
)
from api.responses.reader import SubjectReader
from api.routers.lists.lists import (
    answer_list,
    answer_new_list,
    creation_of,
    edit_of,
    list_of,
    read_list,
)
from api.routers.lists.reads import lists_of
from api.routers.records.records import DEFAULT_WAIT_SECONDS
from application.lists.commands import (
    AddItem,
    CreateList,
    EditList,
    OnList,
    Rearrange,
    RemoveItem,
    delete_list,
)
from eventstore.idempotency import CommandResult
from eventstore.untrusted import is_storable, whole_number
from outbox.mirror.states import MirrorState
from projections.tracks.queries import tracks_of
from projections.tracks.table import TrackView
from storage.artwork import MAX_BYTES as IMAGE_BYTES

router: Final = APIRouter(**ROUTER)
PLAYLIST: Final = "/lists/playlists/{playlist_id}"


async def playlist_behind(playlist_id: str) -> int:
    return whole_number(playlist_id) or NO_TRACK


PlaylistId = Annotated[int, Depends(playlist_behind)]


def playlist_of(ours: Any) -> Json:
    """Return a playlist of our own routes, or a row of one, as the peer's clients read it."""
    is_public = ours.visibility == Visibility.PUBLIC
    same = {"name", "owner_did", "owner_handle", "track_count", "image_url", "created_at"}
    return {
        "id": str(ours.id),
        **ours.model_dump(include=same),
        "show_on_profile": is_public,
        "atproto_record_uri": ours.uri,
        "is_private": not is_public,
        "preview_thumbnails": [],
    }


def shown_playlist(reader: SubjectReader, subject: Subject) -> CommandResult:
    return CommandResult(200, playlist_of(list_of(PLAYLISTS, reader, subject)), {})


@router.get("/lists/playlists")
def list_own_playlists(principal: SignedIn, reader: Reader) -> Response:
    return _listed(reader, principal.did)


@router.get("/lists/playlists/by-artist/{did}")
def list_playlists_of_artist(did: str, reader: Reader) -> Response:
    return _listed(reader, did if is_storable(did) else "")


def _listed(reader: PeerReader, did: str) -> Response:
    services = reader.services
    with services.database.read() as connection:
        rows = lists_of(connection, reader.caller, PLAYLISTS, did, limit=MAX_LISTED)
        bodies = list_rows(services, connection, PLAYLISTS, rows, reader.caller)
    return AsciiJsonResponse([playlist_of(each) for each in bodies])


@router.get(PLAYLIST)
async def read_playlist(playlist_id: PlaylistId, reader: Reader) -> Response:
    ours = await in_thread(read_list, reader.caller, reader.services, PLAYLISTS, playlist_id)
    return AsciiJsonResponse({**playlist_of(ours), "tracks": await tracks_in(ours, reader)})


async def tracks_in(ours: AlbumBody | PlaylistBody, reader: PeerReader) -> list[Json]:
    """Return the tracks here that a list has, in its order."""
    ids = [entry.track_id for entry in ours.tracks if entry.track_id is not None and not entry.gone]

    def views(connection: sa.Connection) -> Sequence[TrackView]:
        found = tracks_of(connection, ids)
        return [found[each] for each in ids if each in found]

    return await reader.tracks(views)


@router.get(f"{PLAYLIST}/recommendations")
def recommend(
    playlist_id: PlaylistId,
    principal: SignedIn,
    services: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=10)] = 3,  # noqa: ARG001 - part of the contract
) -> Response:
    """Say that there are none: this service compares no tracks."""
    read_list(principal, services, PLAYLISTS, playlist_id)
    return AsciiJsonResponse({"tracks": [], "available": False})


def _visibility(is_private: bool) -> Visibility:
    return Visibility.PRIVATE if is_private else Visibility.PUBLIC


class NewPlaylist(BaseModel):
    name: PlaylistName
    is_private: Flag = False


@router.post("/lists/playlists", openapi_extra=names(*NewPlaylist.model_fields))
async def create(request: Command) -> Response:
    async def parse(request: CommandRequest, body: Body) -> CreateList:
        wanted = fields_as(NewPlaylist, body)
        fields = {"name": wanted.name, "visibility": _visibility(wanted.is_private)}
        return await creation_of(request, Body(fields), door=PLAYLISTS)

    return await answer_new_list(request, parse, shown_playlist)


class PlaylistChange(BaseModel):
    """An empty name changes nothing, as at the peer."""

    name: PlaylistName | None = None
    show_on_profile: Flag | None = None
    is_private: Flag | None = None


@dataclass(frozen=True)
class EditPlaylist(EditList):
    is_shown: bool | None = None

    def make(self, subject: TrackList, at: datetime) -> None:
        """Make the change; raises InvalidFieldError where a public playlist is not to be shown, or a private one is."""
        super().make(subject, at)
        if self.is_shown not in {None, subject.is_public}:
            raise InvalidFieldError(
                "show_on_profile", "a public playlist is shown here, a private one is not"
            )


@router.patch(PLAYLIST, openapi_extra=names(*PlaylistChange.model_fields))
async def edit(playlist_id: PlaylistId, request: Command) -> Response:
    def parse(_request: CommandRequest, body: Body, _on: OnList) -> EditPlaylist:
        wanted = fields_as(PlaylistChange, body)
        changes: dict[str, Any] = {"name": wanted.name} if wanted.name else {}
        if wanted.is_private is not None:
            changes["visibility"] = _visibility(wanted.is_private)
        return EditPlaylist(changes, is_shown=wanted.show_on_profile)

    return await answer_list(request, PLAYLISTS, playlist_id, parse, shown_playlist)


@router.delete(PLAYLIST)
async def delete(playlist_id: PlaylistId, request: Command) -> Response:
    on = PLAYLISTS.on(playlist_id, request.versions)
    return await request.answer(partial(delete_list, on=on), says(deleted=True), on=on)


class NewEntry(BaseModel):
    """`track_cid` is not believed, nor that of a reference: the record's own is taken."""

    track_uri: str
    track_cid: str | None = None


@router.post(f"{PLAYLIST}/tracks", openapi_extra=names(*NewEntry.model_fields))
async def add(playlist_id: PlaylistId, request: Command) -> Response:
    async def parse(request: CommandRequest, body: Body, _on: OnList) -> AddItem:
        named = checked_entry(None, fields_as(NewEntry, body).track_uri, "track_uri")
        [entry] = await known_entries(request, [named])
        return AddItem(entry)

    return await answer_list(request, PLAYLISTS, playlist_id, parse, shown_playlist)


@router.delete(f"{PLAYLIST}/tracks/{{track_uri:path}}")
async def remove(playlist_id: PlaylistId, track_uri: str, request: Command) -> Response:
    def parse(*_: object) -> RemoveItem:
        return RemoveItem(checked_entry(None, track_uri, "track_uri"))

    return await answer_list(request, PLAYLISTS, playlist_id, parse, shown_playlist)


class Reference(BaseModel):
    model_config = ConfigDict(extra="forbid")

    uri: str | None = None
    cid: str | None = None


class Order(BaseModel):
    items: Annotated[list[Reference], Structured]


ORDER: Final = names(*Order.model_fields)


@router.put(f"{PLAYLIST}/reorder", openapi_extra=ORDER)
async def reorder(playlist_id: PlaylistId, request: Command) -> Response:
    return await answer_order(request, PLAYLISTS, playlist_id)


async def answer_order(request: CommandRequest, door: ShownList, list_id: int) -> Response:
    """Put the entries that are named in their order; the others stay, since another request may just have added them."""

    def parse(_request: CommandRequest, body: Body, _on: OnList) -> Rearrange:
        named = fields_as(Order, body).items
        return Rearrange([checked_entry(None, each.uri, "items") for each in named])

    def ordered(reader: SubjectReader, subject: Subject) -> CommandResult:
        ours = list_of(door, reader, subject)
        is_there = ours.mirror is not None and ours.mirror.state == MirrorState.DELIVERED
        playlist = playlist_of(ours) if isinstance(ours, PlaylistBody) else {}
        return CommandResult(200, {**playlist, "uri": ours.uri, "cid": ours.cid if is_there else None}, {})

    wait = {"default_wait_seconds": DEFAULT_WAIT_SECONDS}
    return await answer_list(request, door, list_id, parse, ordered, **wait)


@router.post(f"{PLAYLIST}/cover", openapi_extra=names("image"))
async def replace_cover(playlist_id: PlaylistId, request: Command) -> Response:
    return await answer_cover(request, PLAYLISTS, playlist_id)


async def answer_cover(request: CommandRequest, door: ShownList, list_id: int) -> Response:
    async def parse(request: CommandRequest, body: Body, on: OnList) -> EditList:
        body.file("image")
        return await edit_of(request, body, on)

    def replaced(reader: SubjectReader, subject: Subject) -> CommandResult:
        ours = list_of(door, reader, subject).model_dump(include={"image_url", "thumbnail_url"})
        return CommandResult(200, {**ours, "image_id": (ours["image_url"] or "").rpartition("/")[2]}, {})

    return await answer_list(request, door, list_id, parse, replaced, files={"image": IMAGE_BYTES})
