"""Edits and deletes tracks for the peer's clients, and changes who may find, hear and download one; at the peer a job does that, which is done here when it is answered."""

from dataclasses import replace
from functools import partial
from typing import Any, Final

from fastapi import APIRouter, Response

from aggregates.errors import InvalidFieldError
from api.auth.authentication import ServicesDep, SignedIn
from api.json_response import AsciiJsonResponse
from api.openapi import FILE, TRACK_FIELDS, either
from api.pipeline.command_request import Command, CommandRequest
from api.plyr.publishing_fields import PUBLISHING, access_in, access_of
from api.plyr.reading import ROUTER, PeerTrackId
from api.plyr.results import PlyrResults
from api.requests.body import Body
from api.responses.read_tracks import TrackReader
from api.routers.track_writes import answer_edit, edit_command
from application.authorization import OnTrack, require_owned
from application.tracks.edit import EditTrack, delete_track, edit_track
from application.tracks.publication import published_by_ungating
from eventstore.idempotency.results import CommandResult
from eventstore.streams.track_ids import peer_ids_of

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


@router.post(
    "/tracks/{track_id}/publishing", openapi_extra=either(["settings"], {}, settings={"type": "object"})
)
async def change(track_id: PeerTrackId, request: Command) -> Response:
    """Change who may find, hear and download a track, all of it at once; the job has the track's id."""
    services = request.services
    async with request.begin(on=track_id) as attempt:
        if not attempt.is_repetition:
            command = _command(request, track_id, attempt.body)
            if command.support_gate is None:
                await attempt.publish_if(partial(published_by_ungating, command=command))
            await attempt.commit(lambda unit: edit_track(unit, command, services.media), _job)
    return await attempt.response()


@router.get("/tracks/publishing-jobs/{track_id}")
def read_job(track_id: PeerTrackId, principal: SignedIn, services: ServicesDep) -> Response:
    """Tell the owner that the change is done."""
    with services.database.read() as connection:
        require_owned(connection, principal.did, track_id)
        shown_as = peer_ids_of(connection, [track_id])[track_id]
    done: dict[str, Any] = {"status": "completed", "message": "access updated"}
    return AsciiJsonResponse({**done, "updated_track_ids": [shown_as], "failed_track_ids": []})


def _command(request: Command, track_id: int, body: Body) -> EditTrack:
    settings = body.mapping("settings")
    if settings is None:
        raise InvalidFieldError("settings", "must be there: artists have no defaults here")
    return EditTrack(track_id, request.versions, **vars(access_in(settings, "settings")))


def _job(reader: TrackReader, track_id: int) -> CommandResult:
    return CommandResult(200, {"job_id": str(peer_ids_of(reader.connection, [track_id])[track_id])}, {})
