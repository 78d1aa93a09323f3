"""Albums and playlists: two doors to lists of tracks."""

from collections.abc import Awaitable, Callable
from functools import partial
from inspect import isawaitable
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel

from aggregates.lists.track_list import TrackList
from aggregates.published import Subject
from aggregates.values import ListType, Visibility, cids_in
from api.auth.authentication import OptionalCaller, ServicesDep
from api.json_response import AsciiJsonResponse, result_of
from api.openapi import IMAGE_FILE, errors, fields_of
from api.pipeline.command_request import Command, CommandRequest, Respond
from api.pipeline.list_entries import known_entries
from api.pipeline.past import AsOf, past_fields, past_state
from api.requests.body import Body, fields_as, given_in
from api.requests.fields import RevertFields
from api.requests.lists import (
    EditAlbumFields,
    EditPlaylistFields,
    EntryFields,
    EntryQuery,
    MoveFields,
    NewAlbumFields,
    NewPlaylistFields,
    OrderFields,
    checked_entry,
)
from api.requests.parameters import Id, StrictRoute
from api.responses.list import (
    ALBUMS,
    AlbumBody,
    PlaylistBody,
    ShownList,
    list_body,
)
from api.responses.reader import SubjectReader
from api.routers.records.records import answer_repair
from api.routers.tracks.writes import take_cover
from api.services import Services
from application.authorization import may_see
from application.errors import ListNotFoundError, VersionRequiredError
from application.lists.commands import (
    FIELDS,
    KEPT_BECAUSE,
    AddItem,
    CreateList,
    EditList,
    Known,
    ListChange,
    MoveItem,
    OnList,
    RemoveItem,
    Reorder,
    change_list,
    create_list,
    delete_list,
    undelete_list,
)
from application.records import change_namespace
from application.subjects import find
from eventstore.idempotency import CommandResult
from eventstore.unit_of_work import UnitOfWork
from identity.accounts.credentials import Principal, did_of
from storage.artwork import MAX_BYTES as IMAGE_BYTES
from storage.media import Reserved

CONFIRM: Final[bool] = Query(
    False, description="whether the album text of more than 100 tracks may follow in the background"
)
NEW: Final[dict[ListType, type[BaseModel]]] = {
    ListType.ALBUM: NewAlbumFields,
    ListType.PLAYLIST: NewPlaylistFields,
}
EDIT: Final[dict[ListType | None, type[BaseModel]]] = {
    ListType.ALBUM: EditAlbumFields,
    ListType.PLAYLIST: EditPlaylistFields,
}


def list_routes(door: ShownList) -> APIRouter:
    router = APIRouter(prefix=door.plural, tags=["lists"], route_class=StrictRoute)
    one, image = f"/{{{door.word}_id}}", {"image": IMAGE_FILE}
    show = partial(shown_list, door)

    @router.post(
        "",
        status_code=201,
        response_model=door.body,
        openapi_extra=fields_of(NEW[door.list_type], **image),
        responses=errors(501),
    )
    async def create(request: Command) -> Response:
        """Make a list. Its record on the PDS follows; see `mirror` for its state."""
        created = partial(shown_list, door, created=True)
        return await answer_new_list(request, partial(creation_of, door=door), created)

    @router.get(one, response_model=door.body, responses=errors(401, 403))
    def read(
        caller: OptionalCaller,
        services: ServicesDep,
        subject_id: Annotated[Id, door.in_path],
        wanted: Annotated[AsOf, Query()],
    ) -> Response:
        """Read a list; its ETag is its version. A private one is for its owner alone.

        Past states, with `version` or `at`, are for its owner and operators only; `mirror` always shows the current state.
        """
        if wanted.version is not None or wanted.at is not None:
            return AsciiJsonResponse(past_list(caller, services, door, subject_id, wanted))
        body = read_list(caller, services, door, subject_id)
        return AsciiJsonResponse(body, headers=body.headers)

    @router.patch(
        one,
        response_model=door.body,
        openapi_extra=fields_of(EDIT[door.list_type], **image),
        responses=errors(501),
    )
    async def change(
        subject_id: Annotated[Id, door.in_path], request: Command, confirm: bool = CONFIRM
    ) -> Response:
        """Change the given fields. An empty one is cleared, an absent one is left unchanged. A new title of an album is that of its tracks."""
        parse = partial(edit_of, confirm=confirm)
        return await answer_list(request, door, subject_id, parse, files={"image": IMAGE_BYTES})

    @router.delete(one, response_model=door.body)
    async def delete(
        subject_id: Annotated[Id, door.in_path], request: Command, confirm: bool = CONFIRM
    ) -> Response:
        """Delete a list and its record. The tracks of an album stay, without its title; undelete brings both back."""
        on = door.on(subject_id, request.versions)
        use_case = partial(delete_list, on=on, confirm=confirm)
        return await request.answer(use_case, show, on=on)

    @router.post(f"{one}/undelete", response_model=door.body)
    async def undelete(subject_id: Annotated[Id, door.in_path], request: Command) -> Response:
        """Undelete a list, with the same record key. A live one is left unchanged."""
        on = door.on(subject_id, request.versions)
        async with request.begin(on=on, allow_deleted=True) as attempt:
            if not attempt.is_repetition:
                await attempt.commit(partial(undelete_list, on=on, reserved=attempt.reserved), show)
        return await attempt.response()

    @router.post(f"{one}/migrate-namespace", response_model=door.body)
    async def migrate(subject_id: Annotated[Id, door.in_path], request: Command) -> Response:
        """Move the record from the old collection to the current one: same key, same content."""
        on = door.on(subject_id, request.versions)
        return await answer_repair(on, request, change_namespace, show, in_old_alone=True)

    @router.post(
        f"{one}/revert",
        response_model=door.body,
        openapi_extra=fields_of(RevertFields.of(TrackList.TOPIC, FIELDS)),
        responses=errors(501),
    )
    async def revert(subject_id: Annotated[Id, door.in_path], request: Command) -> Response:
        """Revert a list, or some of its fields, to a version. This is a change like any other."""
        return await answer_list(request, door, subject_id, _reversion)

    return router


def item_routes(door: ShownList) -> APIRouter:
    path = f"{door.plural}/{{{door.word}_id}}/tracks"
    router = APIRouter(prefix=path, tags=["lists"], route_class=StrictRoute)

    @router.put(
        "", response_model=door.body, openapi_extra=fields_of(OrderFields), responses=errors(428, 501)
    )
    async def order(subject_id: Annotated[Id, door.in_path], request: Command) -> Response:
        """Set all tracks and their order, as decided on the version in If-Match."""

        async def parse(request: CommandRequest, body: Body, on: OnList) -> Reorder:
            if request.versions is None:
                raise VersionRequiredError
            return Reorder(await known_entries(request, fields_as(OrderFields, body).tracks, on.id))

        return await answer_list(request, door, subject_id, parse)

    @router.post("", response_model=door.body, openapi_extra=fields_of(EntryFields), responses=errors(501))
    async def add(subject_id: Annotated[Id, door.in_path], request: Command) -> Response:
        """Put a track at the end. To an album, it moves from the album where it is."""

        async def parse(request: CommandRequest, body: Body, _on: OnList) -> AddItem:
            [entry] = await known_entries(request, [fields_as(EntryFields, body).entry])
            return AddItem(entry)

        return await answer_list(request, door, subject_id, parse)

    @router.patch("", response_model=door.body, openapi_extra=fields_of(MoveFields), responses=errors(501))
    async def move(subject_id: Annotated[Id, door.in_path], request: Command) -> Response:
        """Put a track before another one, or at the end."""

        def parse(_request: CommandRequest, body: Body, _on: OnList) -> MoveItem:
            fields = fields_as(MoveFields, body)
            return MoveItem(fields.entry, fields.before)

        return await answer_list(request, door, subject_id, parse)

    @router.delete("", response_model=door.body, responses=errors(501))
    async def remove(
        subject_id: Annotated[Id, door.in_path],
        wanted: Annotated[EntryQuery, Query()],
        request: Command,
    ) -> Response:
        """Take a track out."""

        def parse(*_: object) -> RemoveItem:
            return RemoveItem(checked_entry(wanted.track_id, wanted.uri, "track_id"))

        return await answer_list(request, door, subject_id, parse)

    return router


def list_of(
    door: ShownList, reader: SubjectReader, subject: Subject, known: Known | None = None
) -> AlbumBody | PlaylistBody:
    made, mirror = reader.state(TrackList, subject)
    return list_body(reader.services, reader.connection, door, made, made.did, mirror=mirror, known=known)


def shown_list(
    door: ShownList,
    reader: SubjectReader,
    subject: Subject,
    *,
    created: bool = False,
    known: Known | None = None,
) -> CommandResult:
    body = list_of(door, reader, subject, known)
    if created:
        return result_of(body, 201, Location=f"{door.plural}/{subject.id}")
    return result_of(body)


def read_list(
    caller: Principal | None, services: Services, door: ShownList, list_id: int
) -> AlbumBody | PlaylistBody:
    """Return a live list that the caller may know of; raises ListNotFoundError."""
    viewer = did_of(caller)
    with services.database.read() as connection:
        made = find(services.log, connection, door.on(list_id))
        if made is None or made.deleted_at is not None or not may_see(caller, made.did, made.taken_down_at):
            raise ListNotFoundError
        if viewer != made.did and made.visibility != Visibility.PUBLIC:
            raise ListNotFoundError
        body = list_body(services, connection, door, made, viewer)
    if viewer != made.did and door is ALBUMS and made.items and not body.tracks:
        raise ListNotFoundError
    return body


def past_list(
    caller: Principal | None, services: Services, door: ShownList, list_id: int, wanted: AsOf
) -> AlbumBody | PlaylistBody:
    """Return a list as it was, for its owner and operators; raises as `past_state`."""
    _, then = past_state(services, door.on(list_id), wanted, caller)
    with services.database.read() as connection:
        return list_body(services, connection, door, then, did_of(caller))


async def answer_new_list(
    request: CommandRequest,
    parse: Callable[[CommandRequest, Body], Awaitable[CreateList]],
    show: Respond,
    use_case: Callable[[UnitOfWork, CreateList, Reserved], TrackList] = create_list,
) -> Response:
    """Make the list that `parse` reads from the body, and answer with what `show` reads."""
    async with request.begin(files={"image": IMAGE_BYTES}) as attempt:
        if not attempt.is_repetition:
            command = await parse(request, attempt.body)
            named = cids_in(command.artwork)
            await attempt.commit(
                lambda unit: use_case(unit, command, attempt.reserved), show, named, is_long=True
            )
    return await attempt.response()


Parse = Callable[[CommandRequest, Body, OnList], ListChange | Awaitable[ListChange]]
"""Reads a change of a list from a body, given which list it is."""


async def answer_list(
    request: CommandRequest,
    door: ShownList,
    subject_id: int,
    parse: Parse,
    show: Respond | None = None,
    **how: Any,
) -> Response:
    """Make the change that `parse` reads from the body, and answer with the list, or what `show` reads; `how` the request begins."""
    on, known = door.on(subject_id, request.versions), Known()
    async with request.begin(on=on, **how) as attempt:
        if not attempt.is_repetition:
            collection = request.services.collection_of(TrackList.TOPIC)
            parsed = parse(request, attempt.body, on)
            change: ListChange = await parsed if isawaitable(parsed) else parsed
            named = cids_in(change.changes.get("artwork")) if isinstance(change, EditList) else ()
            how = {"change": change, "collection": collection, "reserved": attempt.reserved, "known": known}
            shows = show or partial(shown_list, door, known=None if request.preferred_wait_seconds else known)
            await attempt.commit(partial(change_list, on=on, **how), shows, named, is_long=True)
    return await attempt.response()


async def creation_of(request: CommandRequest, body: Body, *, door: ShownList) -> CreateList:
    fields = dict(fields_as(NEW[door.list_type], body))
    entries = await known_entries(request, fields.pop("tracks"))
    name = fields.pop("title" if door is ALBUMS else "name")
    collection = request.services.collection_of(TrackList.TOPIC)
    fields["slug"] = fields["slug"] or None
    await take_cover(request, body, fields)
    return CreateList(door.list_type, name, collection, entries=entries, **fields)


async def edit_of(request: CommandRequest, body: Body, on: OnList, *, confirm: bool = False) -> EditList:
    changes = given_in(EDIT[on.list_type], body)
    if "title" in changes:
        changes["name"] = changes.pop("title")
    await take_cover(request, body, changes)
    return EditList(changes, confirm)


async def _reversion(request: CommandRequest, body: Body, on: OnList) -> EditList:
    past, fields = await past_fields(request, on, body, FIELDS, KEPT_BECAUSE)
    return EditList({name: getattr(past, name) for name in fields})
