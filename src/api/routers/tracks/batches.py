"""Edits many tracks of the caller's in one unit of work: all of them, or none."""

from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field

from aggregates.errors import InvalidFieldError, ServiceError
from aggregates.published import Subject
from aggregates.tracks.track import Track
from api.errors import ApiError
from api.json_response import result_of
from api.openapi import fields_of
from api.pipeline.command_request import Command
from api.requests.body import Body, fields_as, given_in
from api.requests.fields import EditRow, PlainFields, Structured
from api.requests.parameters import MAX_ID, StrictRoute, require_known_fields
from api.responses.reader import SubjectReader
from application.errors import TracksRefusedError
from application.lists.albums import MAX_TRACKS_AT_ONCE
from application.tracks.commands import EditTrack, change_tracks
from eventstore.idempotency import CommandResult
from eventstore.unit_of_work import UnitOfWork

router = APIRouter(tags=["tracks"], route_class=StrictRoute)

FIELDS: Final = tuple(PlainFields.model_fields)


class EditTracksFields(BaseModel):
    edits: Annotated[list[Any], Structured] = Field(
        description=f"1 to {MAX_TRACKS_AT_ONCE}, each with the `id` of a track, its `version` and what changes: {', '.join(FIELDS)}"
    )


class EditedRow(BaseModel):
    id: int
    version: int


class EditedTracksBody(BaseModel):
    """The tracks with their new versions, in the order of the edits."""

    tracks: list[EditedRow]


@router.patch("/tracks", response_model=EditedTracksBody, openapi_extra=fields_of(EditTracksFields))
async def edit_tracks(request: Command) -> Response:
    """Change fields of many tracks, all or none."""
    edited: list[Track] = []

    def show(_reader: SubjectReader, _subject: Subject) -> CommandResult:
        rows = [EditedRow(id=track.track_id, version=track.visible_version) for track in edited]
        return result_of(EditedTracksBody(tracks=rows))

    async with request.begin() as attempt:
        if not attempt.is_repetition:
            commands = _commands(fields_as(EditTracksFields, attempt.body).edits)

            def edit(unit: UnitOfWork) -> Track:
                edited[:] = change_tracks(unit, commands, attempt.reserved)
                return edited[-1]

            await attempt.commit(edit, show)
    return await attempt.response(waits=False)


def _commands(rows: Sequence[Any]) -> list[EditTrack]:
    if not 1 <= len(rows) <= MAX_TRACKS_AT_ONCE:
        raise InvalidFieldError("edits", f"must be 1 to {MAX_TRACKS_AT_ONCE}")
    commands: dict[int, EditTrack] = {}
    refused: dict[int, ServiceError] = {}
    for row in rows:
        track_id = row.get("id") if isinstance(row, dict) else None
        known = commands.keys() | refused.keys()
        if type(track_id) is not int or abs(track_id) > MAX_ID or track_id in known:
            raise InvalidFieldError("edits", "must name each track once, by its `id`")
        try:
            require_known_fields(row, tuple(EditRow.model_fields))
            changes = given_in(EditRow, Body(row))
            versions = frozenset({changes.pop("version")})
            commands[track_id] = EditTrack(Track, changes.pop("id"), versions, changes=changes)
        except (InvalidFieldError, ApiError) as error:
            refused[track_id] = error
    if refused:
        raise TracksRefusedError(refused)
    return list(commands.values())
