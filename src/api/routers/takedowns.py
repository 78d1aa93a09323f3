"""Takedowns: what an operator keeps the service from serving."""

from functools import partial

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from api.auth.authentication import Admin, ServicesDep
from api.middleware.request_id import over_http
from api.openapi import fields_of, repeatable_errors
from api.pipeline.idempotent_request import Asked, Repeatable, answer_of
from api.pipeline.public_copy import Publishing, publishing
from api.requests.model_fields import fields_as
from api.requests.path_params import TrackId
from api.responses.ops import TakedownBody, TakenDownBody
from api.routers.track_writes import media_work
from api.services import Services
from application.errors import TrackNotFoundError
from application.takedown import Takedown, note_takedown, take_down
from eventstore.idempotency.results import CommandResult
from eventstore.unit_of_work import UnitOfWork
from outbox.operations.operators import Operator
from projections.track_queries import track_by_id
from projections.track_view import TrackView

router = APIRouter(tags=["operations"])


@router.post(
    "/ops/tracks/{track_id}/takedown",
    response_model=TakenDownBody,
    responses=repeatable_errors(400, 404),
    openapi_extra=fields_of(TakedownBody),
)
async def decide_takedown(
    request: Request, track_id: TrackId, admin: Admin, services: ServicesDep, repeatable: Repeatable
) -> Response:
    """Hide a track from all but its owner and admins, and its bytes from all but admins, or lift that; its record stays.

    Only this lifts it; undelete and revert do not.
    """

    async def act(asked: Asked) -> CommandResult:
        before = await run_in_threadpool(_track, services, track_id)
        wanted = fields_as(TakedownBody, asked.body)
        changed = (before.taken_down_at is not None) is wanted.lift
        if not wanted.dry_run:
            command = Takedown(track_id, reason=wanted.reason, lift=wanted.lift)
            operator = Operator(over_http(admin.did), wanted.reason)
            async with publishing(services, media_work(request)) as public:
                if wanted.lift:
                    await public.before_lifting(command)
                changed = await run_in_threadpool(_perform, services, command, operator, before.did, public)
            services.wake()
        after = await run_in_threadpool(_track, services, track_id)
        return answer_of(
            TakenDownBody(
                track_id=track_id,
                taken_down_at=after.taken_down_at,
                affected=int(changed),
                dry_run=wanted.dry_run,
            )
        )

    return await repeatable.perform(act)


def _track(services: Services, track_id: int) -> TrackView:
    with services.database.read() as connection:
        view = track_by_id(connection, track_id)
    if view is None:
        raise TrackNotFoundError
    return view


def _perform(
    services: Services, command: Takedown, operator: Operator, owner: str, public: Publishing
) -> bool:
    """First the track, whose event says who and why; then the operator's own stream, which a crash may leave out."""

    def work(unit: UnitOfWork) -> bool:
        changed = take_down(unit, command)
        public.take_over(unit)
        return changed

    changed = services.log.transact(owner, operator.envelope, work)
    noted = partial(note_takedown, command=command, operator=operator, owner=owner, changed=changed)
    services.log.transact(operator.envelope.actor, operator.envelope, noted)
    return changed
