"""The mirror of a record or an account: how far its PDS agrees with the log."""

from functools import partial
from typing import Final

from fastapi import APIRouter, Response

from aggregates.errors import InvalidFieldError
from api.auth.authentication import ServicesDep, SignedIn
from api.errors import MissingPartError
from api.json_response import AsciiJsonResponse
from api.openapi import command_errors, either, errors
from api.pipeline.command_request import Command
from api.requests.body import Body
from api.requests.known_names import StrictRoute
from api.requests.path_params import TrackId
from api.responses.mirror import LaneBody, RecordMirrorBody, lane_body, record_mirror
from api.responses.read_tracks import TrackReader
from application.authorization import OnTrack
from application.read_access import require_reader
from application.records.resolve import Resolution, Resolve, resolve
from application.records.retry import retry_mirror
from eventstore.idempotency.results import CommandResult
from eventstore.unit_of_work import UnitOfWork

router = APIRouter(tags=["mirror"], route_class=StrictRoute)

KEEP: Final = {
    "enum": [each.value for each in Resolution],
    "description": "whose version stays: the log's, or that of the other client",
}


@router.get(
    "/tracks/{track_id}/mirror",
    response_model=RecordMirrorBody,
    responses=errors(401, 403, 404, 422, 503),
)
def read_mirror(track_id: TrackId, principal: SignedIn, services: ServicesDep) -> Response:
    """Read what the log wants, what the PDS confirmed and what was tried."""
    with services.database.read() as connection:
        require_reader(connection, principal, track_id)
        body = record_mirror(connection, track_id)
    return AsciiJsonResponse(body)


@router.post("/tracks/{track_id}/mirror/retry", response_model=RecordMirrorBody, responses=command_errors())
async def retry(track_id: TrackId, request: Command) -> Response:
    """Retry at once, also a rejected record and a lane that backs off."""
    async with request.begin(on=track_id, allow_deleted=True, allow_leaving=True) as attempt:
        if not attempt.is_repetition:
            command = OnTrack(track_id, request.versions)
            await attempt.commit(lambda unit: retry_mirror(unit, command), _mirror)
    return await attempt.response()


@router.post(
    "/tracks/{track_id}/mirror/resolve",
    response_model=RecordMirrorBody,
    responses=command_errors(),
    openapi_extra=either(["keep"], {}, keep=KEEP),
)
async def resolve_conflict(track_id: TrackId, request: Command) -> Response:
    """Resolve a record that was edited elsewhere: `ours` is written again, or the fields of `theirs` that a track has are adopted.

    Unknown fields stay in the record either way.
    """
    services = request.services
    async with request.begin(on=track_id) as attempt:
        if not attempt.is_repetition:
            command = Resolve(track_id, request.versions, keep=_keep(attempt.body))

            def use_case(unit: UnitOfWork) -> int:
                unit.after_commit(partial(services.resolved, command.keep))
                return resolve(unit, command, services.urls)

            await attempt.commit(use_case, _mirror)
    return await attempt.response()


@router.get("/me/mirror", response_model=LaneBody, responses=errors(401, 503))
def read_lane(principal: SignedIn, services: ServicesDep) -> Response:
    """Read whether the account's records reach its PDS, and how many wait in which state."""
    with services.database.read() as connection:
        body = lane_body(connection, principal.did, services.database.now(connection))
    return AsciiJsonResponse(body)


def _keep(body: Body) -> Resolution:
    if "keep" not in body:
        raise MissingPartError("keep")
    try:
        return Resolution(body.text("keep") or "")
    except ValueError:
        raise InvalidFieldError("keep", f"must be one of: {', '.join(Resolution)}") from None


def _mirror(reader: TrackReader, track_id: int) -> CommandResult:
    return CommandResult(200, record_mirror(reader.connection, track_id).model_dump(mode="json"), {})
