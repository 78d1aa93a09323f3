"""The mirror of a record or an account: how far its PDS agrees with the log."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from aggregates.errors import InvalidFieldError
from aggregates.track import Track
from api.auth.authentication import ServicesDep, SignedIn
from api.errors import MissingPartError
from api.openapi import errors, operation
from api.pipeline.command_request import Command, CommandRequest, result_of
from api.requests.body import fields_as
from api.requests.fields import Structured
from api.requests.parameters import OneOf, StrictRoute, TrackId
from api.responses.mirror import (
    ComparisonBody,
    LaneBody,
    RecordMirrorBody,
    comparison_body,
    lane_body,
    record_mirror,
)
from api.responses.track import TrackReader
from api.services import Services
from application.authorization import OnTrack, load_owned, require_reader
from application.records import BY_FIELD, Decision, Resolution, resolve, retry_mirror
from application.tracks.revert import track_as_it_is
from eventstore.idempotency import CommandResult
from eventstore.unit_of_work import UnitOfWork
from identity.accounts.credentials import Principal
from outbox.views.comparison import KnownRecord, known_record

router = APIRouter(tags=["mirror"], route_class=StrictRoute)


Side = Annotated[str, OneOf(tuple(Resolution))]


class ResolveFields(BaseModel):
    keep: Side | None = Field(None, description="whose version stays: the log's, or that of the other client")
    fields: Annotated[dict[str, Side] | None, Structured] = Field(
        None,
        description='instead of `keep`: a side for each of `conflict.fields`, such as `{"title": "theirs"}`',
    )
    cid: str | None = Field(
        None,
        description="`conflict.cid` as it was read; 409 `edited_again` if they have changed the record since",
    )


@router.get("/tracks/{track_id}/mirror", responses=errors(403))
def read_mirror(principal: SignedIn, services: ServicesDep, track_id: TrackId) -> RecordMirrorBody:
    """Read what the log wants, what the PDS confirmed and what was tried."""
    with services.database.read() as connection:
        did = require_reader(connection, principal, track_id).did
        return record_mirror(connection, did, track_id, services.log, services.kinds)


@router.get("/tracks/{track_id}/mirror/compare", responses=errors(403))
async def compare_record(principal: SignedIn, services: ServicesDep, track_id: TrackId) -> ComparisonBody:
    """Compare what the log wants, what the PDS confirmed last and what it has now, field by field.

    The PDS is asked once in 5 seconds, and only while it may be sent requests; `present.problem` says why it was not.
    """
    known = await run_in_threadpool(_known, services, principal, track_id)
    present = await services.record_reads.read(known.host, known.key, known.confirmed.cid)
    return await run_in_threadpool(comparison_body, track_id, known, present)


@router.post("/tracks/{track_id}/mirror/retry", response_model=RecordMirrorBody)
async def retry(track_id: TrackId, request: Command) -> Response:
    """Retry at once, also a rejected record and a lane that backs off."""
    command, show = OnTrack(track_id, request.versions), partial(_mirror, request)
    return await request.answer(
        lambda unit: retry_mirror(unit, command), show, on=track_id, allow_deleted=True
    )


@router.post("/tracks/{track_id}/mirror/resolve", **operation(ResolveFields, RecordMirrorBody, ()))
async def resolve_conflict(track_id: TrackId, request: Command) -> Response:
    """Resolve a record that was edited elsewhere: `ours` is written again, or the fields of `theirs` that a track has are adopted.

    With `fields`, each differing field is decided by itself, and one record has the result. Unknown fields stay in the
    record either way.
    """
    services, on_track = request.services, OnTrack(track_id, request.versions)
    async with request.begin(on=track_id) as attempt:
        if not attempt.is_repetition:
            wanted = fields_as(ResolveFields, attempt.body)
            decision = Decision(_kept(wanted), wanted.cid)

            def use_case(unit: UnitOfWork) -> int:
                return resolve(unit, load_owned(unit, on_track), services.kinds[Track.TOPIC], decision)

            await attempt.commit(use_case, partial(_mirror, request))
    return await attempt.response()


@router.get("/me/mirror")
def read_lane(principal: SignedIn, services: ServicesDep) -> LaneBody:
    """Read whether the account's records reach its PDS, and how many wait in which state."""
    with services.database.read() as connection:
        return lane_body(connection, principal.did, services.database.now(connection))


def _known(services: Services, principal: Principal, track_id: int) -> KnownRecord:
    with services.database.read() as connection:
        did = require_reader(connection, principal, track_id).did
        track = track_as_it_is(services.log, connection, did, track_id)
        return known_record(connection, track, services.kinds)


def _kept(wanted: ResolveFields) -> Resolution | dict[str, Resolution]:
    if wanted.fields is not None and wanted.keep is not None:
        raise InvalidFieldError(BY_FIELD, "must not come with `keep`")
    if wanted.fields is not None:
        return {name: Resolution(side) for name, side in wanted.fields.items()}
    if wanted.keep is None:
        raise MissingPartError("keep")
    return Resolution(wanted.keep)


def _mirror(request: CommandRequest, reader: TrackReader, track_id: int) -> CommandResult:
    services, did = request.services, request.principal.did
    return result_of(record_mirror(reader.connection, did, track_id, services.log, services.kinds))
