"""Edits and deletes tracks for the peer's clients."""

from dataclasses import replace
from typing import Final

from fastapi import APIRouter, Response

from api.openapi import FILE, TRACK_FIELDS, either
from api.pipeline.command_request import Command, CommandRequest
from api.plyr.publishing_fields import PUBLISHING, access_of
from api.plyr.reading import ROUTER, PeerTrackId
from api.plyr.results import PlyrResults
from api.requests.body import Body
from api.routers.track_writes import answer_edit, edit_command
from application.authorization import OnTrack
from application.tracks.edit import EditTrack, delete_track

router: Final = APIRouter(**ROUTER)

OWN_FIELDS: Final = {name: each for name, each in TRACK_FIELDS.items() if name != "downloads"}


@router.patch(
    "/tracks/{track_id}",
    openapi_extra=either([], {"image": FILE}, **OWN_FIELDS, **PUBLISHING, remove_image={"type": "boolean"}),
)
async def edit(track_id: PeerTrackId, request: Command) -> Response:
    """Change the given fields: an empty one is cleared, an absent one is left unchanged."""
    results = PlyrResults(request.services.urls, request.principal)
    return await answer_edit(track_id, request, _edit_command, results.track)


@router.delete("/tracks/{track_id}")
async def delete(track_id: PeerTrackId, request: Command) -> Response:
    """Delete the track and its record."""
    async with request.begin(on=track_id, allow_leaving=True) as attempt:
        if not attempt.is_repetition:
            command = OnTrack(track_id, request.versions)
            await attempt.commit(
                lambda unit: delete_track(unit, command),
                PlyrResults(request.services.urls, request.principal).deleted,
            )
    return await attempt.response()


async def _edit_command(request: CommandRequest, track_id: int, body: Body) -> EditTrack:
    access = access_of(body)
    fields = {name: value for name, value in body.fields.items() if name != "publishing"}
    command = await edit_command(request, track_id, replace(body, fields=fields))
    return command if access is None else replace(command, **vars(access))
