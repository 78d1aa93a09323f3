"""Takedowns: an operator hides a track from the public."""

from datetime import datetime
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field, StringConstraints
from starlette.concurrency import run_in_threadpool

from aggregates.values import Audio
from api.auth.authentication import Admin, ServicesDep
from api.middleware.http_layer import over_http
from api.openapi import fields_of, repeatable_errors
from api.pipeline.command_request import Idempotent, result_of
from api.pipeline.media_intake import Intake, MediaIntake, PublicCopy
from api.requests.parameters import DRY_RUN, Name, StrictRoute, TrackId
from api.services import Services
from application import takedown as use_cases
from application.errors import TrackNotFoundError
from application.takedown import Takedown
from application.tracks.publication import published_by_lifting_takedown
from eventstore.idempotency.results import CommandResult
from outbox.operations.operators import Operator
from projections.tracks.queries import track_by_id
from projections.tracks.table import TrackView
from storage.taken_down import taken_down

router = APIRouter(tags=["operations"], route_class=StrictRoute)


class TakedownBody(BaseModel):
    """The reason to hide a track, or with `lift` to show it again; with `dry_run` nothing changes."""

    reason: Annotated[Name, StringConstraints(min_length=1)] = Field(description="why; the log keeps it")
    lift: bool = Field(False, description="whether to show the track again")
    bytes: bool = Field(
        default=False,
        description="whether to refuse its audio and cover from now on, to all accounts and until the takedown is lifted; "
        "tracks that have them already keep them",
    )
    dry_run: bool = DRY_RUN


class TakenDownBody(BaseModel):
    """Whether the track changed, or would, and since when it is hidden."""

    track_id: int
    taken_down_at: datetime | None
    affected: int
    dry_run: bool


@router.post(
    "/ops/tracks/{track_id}/takedown",
    response_model=TakenDownBody,
    responses=repeatable_errors(404),
    openapi_extra=fields_of(TakedownBody),
)
async def decide_takedown(
    track_id: TrackId, admin: Admin, services: ServicesDep, intake: Intake, request: Idempotent
) -> Response:
    """Hide a track from all but its owner and operators, and its bytes from all but admins, or lift that; its record stays.

    Only this lifts it; undelete and revert do not.
    """

    async def decide(wanted: TakedownBody) -> CommandResult:
        before = await run_in_threadpool(_track, services, track_id)
        command = Takedown(
            track_id, owner=before.did, reason=wanted.reason, lift=wanted.lift, with_bytes=wanted.bytes
        )
        if wanted.dry_run:
            changed = await run_in_threadpool(_would_change, services, command, before)
        else:
            operator = Operator(over_http(admin.did), wanted.reason)
            changed = await _decide(services, intake, command, operator)
            services.wake()
        at = (await run_in_threadpool(_track, services, track_id)).taken_down_at
        return result_of(
            TakenDownBody(track_id=track_id, taken_down_at=at, affected=int(changed), dry_run=wanted.dry_run)
        )

    return await request.perform(TakedownBody, decide)


async def _decide(services: Services, intake: MediaIntake, command: Takedown, operator: Operator) -> bool:
    """Lifting makes the audio public again: its copy has to be there before the commit."""
    decide = partial(use_cases.decide_takedown, services.log, command, operator)
    audio = await run_in_threadpool(_published_by_lifting, services, command) if command.lift else None
    if audio is None or services.publisher is None:
        return await run_in_threadpool(decide)
    public_copy = PublicCopy(services.publisher, intake)
    try:
        await public_copy.make(audio)
        return await run_in_threadpool(decide, also=public_copy.hand_over)
    finally:
        await public_copy.drop()


def _would_change(services: Services, command: Takedown, track: TrackView) -> bool:
    if (track.taken_down_at is not None) is command.lift:
        return True
    cids = {track.audio.cid, *((track.artwork.cid,) if track.artwork else ())}
    with services.database.read() as connection:
        return command.with_bytes and not command.lift and taken_down(connection, cids) != cids


def _published_by_lifting(services: Services, command: Takedown) -> Audio | None:
    with services.database.read() as connection:
        return published_by_lifting_takedown(connection, command)


def _track(services: Services, track_id: int) -> TrackView:
    with services.database.read() as connection:
        view = track_by_id(connection, track_id)
    if view is None:
        raise TrackNotFoundError
    return view
