"""Reverts a track, or some of its fields, to an earlier version."""

from functools import partial

from fastapi import APIRouter, Response

from api.errors import MissingPartError
from api.openapi import LIST_TEXT, command_errors, either
from api.pipeline.command_request import Command
from api.requests.body import Body
from api.requests.known_names import StrictRoute
from api.requests.parameters import TrackId
from api.responses.track import TrackBody
from api.responses.track_commands import changed_track
from application.tracks.publication import published_by_reverting
from application.tracks.revert import FIELDS, Revert, require_revertible, revert_track

router = APIRouter(tags=["tracks"], route_class=StrictRoute)


@router.post(
    "/tracks/{track_id}/revert",
    response_model=TrackBody,
    responses=command_errors(),
    openapi_extra=either(
        ["to_version"],
        {},
        to_version={"type": "integer", "description": "a `version` of the track's history"},
        fields={**LIST_TEXT, "description": f"which of {', '.join(FIELDS)}; all when absent"},
    ),
)
async def revert(track_id: TrackId, request: Command) -> Response:
    """Revert the track, or some of its fields, to a version; this is a change like any other."""
    services = request.services
    async with request.begin(on=track_id) as attempt:
        if not attempt.is_repetition:
            command = Revert(
                track_id,
                request.versions,
                to_version=_version(attempt.body),
                fields=_fields(attempt.body),
            )
            await attempt.publish_if(partial(published_by_reverting, command=command, log=services.log))
            await attempt.commit(
                lambda unit: revert_track(unit, command, services.log, services.media),
                changed_track,
            )
    return await attempt.response()


def _version(body: Body) -> int:
    if "to_version" not in body:
        raise MissingPartError("to_version")
    return body.whole_number("to_version")


def _fields(body: Body) -> tuple[str, ...]:
    if "fields" not in body:
        return FIELDS
    fields = body.texts("fields")
    require_revertible(fields)
    return tuple(fields)
