"""Undo: a track, or some of its fields, as they were."""

from fastapi import APIRouter, Request, Response

from aggregates.errors import InvalidFieldError
from api.errors import MissingPartError
from api.openapi import LIST_TEXT, command_errors, either
from api.pipeline.command_request import Command, Tell
from api.pipeline.public_copy import publishing
from api.requests.body import Body
from api.requests.path_params import TrackId
from api.responses.track import TrackBody
from api.responses.track_commands import TrackAnswers
from api.routers.track_writes import media_work
from application.tracks.revert import FIELDS, Revert, revert_track

router = APIRouter(tags=["tracks"])


@router.post(
    "/tracks/{track_id}/revert",
    response_model=TrackBody,
    responses=command_errors(400),
    openapi_extra=either(
        ["to_version"],
        {},
        to_version={"type": "integer", "description": "a `version` of the track's history"},
        fields={**LIST_TEXT, "description": f"which of {', '.join(FIELDS)}; all when absent"},
    ),
)
async def revert(request: Request, track_id: TrackId, command: Command) -> Response:
    """Revert the track, or some of its fields, to a version; this is a change like any other."""
    services = command.services

    async def prepare(body: Body) -> Tell:
        told = Revert(track_id, command.versions, to_version=_version(body), fields=_fields(body))
        await public.before_reverting(told)
        return public.through(lambda unit: revert_track(unit, told, services.log, services.media))

    async with publishing(services, media_work(request)) as public:
        return await command.perform(prepare, TrackAnswers(services.urls).track, on=track_id)


def _version(body: Body) -> int:
    if "to_version" not in body:
        raise MissingPartError("to_version")
    return body.whole_number("to_version")


def _fields(body: Body) -> tuple[str, ...]:
    if "fields" not in body:
        return FIELDS
    fields = body.texts("fields")
    for name in fields:
        if name not in FIELDS:
            raise InvalidFieldError("fields", f"must be some of: {', '.join(FIELDS)}")
    return tuple(fields)
