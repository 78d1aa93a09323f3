"""What an admin takes down, of each kind that others see, and what lifts that."""

from contextlib import aclosing
from datetime import UTC, datetime
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Response
from pydantic import BaseModel, Field, create_model
from starlette.concurrency import run_in_threadpool

from aggregates.published import Published
from aggregates.values import Audio
from api.auth.authentication import Admin, ServicesDep
from api.json_response import result_of
from api.middleware.http_layer import over_http
from api.openapi import operation
from api.pipeline.idempotent_request import Idempotent
from api.pipeline.media_intake import PublicCopy
from api.requests.parameters import DRY_RUN, Id, StrictRoute
from api.responses.list import DOORS
from api.responses.mirror import TRACKS, ShownKind
from api.responses.ops.repairs import Reason
from api.responses.profile import PROFILES
from api.responses.reaction import COMMENTS, LIKES
from api.services import Services
from application import operators as use_cases
from application.operators import Takedown
from application.subjects import find
from application.tracks.commands import published_by
from eventstore.change import copied
from eventstore.idempotency import CommandResult
from outbox.operations.operators import Operator
from projections import outsiders


class HideBody(BaseModel):
    """The reason to hide it, or with `lift` to show it again; with `dry_run` nothing changes."""

    reason: Reason
    lift: bool = Field(False, description="whether to show it again")
    dry_run: bool = DRY_RUN


class TakedownBody(HideBody):
    bytes: bool = Field(
        default=False,
        description="whether to refuse its audio and cover from now on, to all accounts and until the takedown is lifted; "
        "tracks that have them already stay, and do not play",
    )


class HiddenBody(BaseModel):
    """Whether it changed, or would, and since when it is hidden."""

    taken_down_at: datetime | None
    affected: int
    dry_run: bool


def takedown_routes(kind: ShownKind[Any]) -> APIRouter:
    router = APIRouter(tags=["operations"], route_class=StrictRoute)
    takes: type[HideBody] = TakedownBody if kind is TRACKS else HideBody
    named: dict[str, Any] = {f"{kind.word}_id": (int, ...)}
    answer = create_model(f"{kind.word.title()}TakenDownBody", __base__=HiddenBody, **named)

    @router.post(f"/ops{kind.path}/takedown", **operation(takes, answer))
    async def decide_takedown(
        subject_id: Annotated[Id, kind.in_path], admin: Admin, services: ServicesDep, request: Idempotent
    ) -> Response:
        """Hide it from all but its owner and operators, and its bytes from all but admins, or lift that; its record stays.

        Only this lifts it; undelete and revert do not. Of likes, those of people without an account here are taken down.
        """

        async def decide(wanted: HideBody) -> CommandResult:
            operator = Operator(over_http(admin.did), wanted.reason)
            changed = await _decide(services, kind, subject_id, operator, wanted)
            now = await run_in_threadpool(_find, services, kind, subject_id)
            found = {f"{kind.word}_id": subject_id, "taken_down_at": now.taken_down_at}
            return result_of(answer(**found, affected=int(changed), dry_run=wanted.dry_run))

        return await request.perform(takes, decide)

    return router


KINDS: Final[tuple[ShownKind[Any], ...]] = (TRACKS, COMMENTS, PROFILES, *DOORS)
OF_OUTSIDERS: Final[tuple[ShownKind[Any], ...]] = (COMMENTS, LIKES)
"""Which people without an account here make; a like is taken down of these alone."""
ALL_KINDS: Final = (*KINDS, LIKES)
ROUTERS: Final = [*map(takedown_routes, ALL_KINDS)]


def _find(services: Services, kind: ShownKind[Any], subject_id: int) -> Any:
    """Return one, a deleted one too, or a reaction of an outsider; raises that there is none."""
    on, found = kind.on(subject_id), None
    with services.database.read() as connection:
        if kind in KINDS:
            found = find(services.log, connection, on)
        if found is None and kind in OF_OUTSIDERS:
            found = outsiders.reaction_at(connection, kind.name, subject_id)
    if found is None:
        raise on.refused(None)
    return found


async def _decide(
    services: Services, kind: ShownKind[Any], subject_id: int, operator: Operator, wanted: HideBody
) -> bool:
    """Return whether it changes anything, or would."""
    found = await run_in_threadpool(_find, services, kind, subject_id)
    if not isinstance(found, Published):
        if wanted.dry_run:
            return (found.taken_down_at is not None) is wanted.lift
        reason = None if wanted.lift else wanted.reason
        hide = partial(
            use_cases.decide_takedown_of_outsider, services.log, kind.name, subject_id, found.owner
        )
        return await run_in_threadpool(hide, operator, reason=reason)
    command = Takedown(
        kind.aggregate,
        subject_id,
        owner=found.did,
        reason=wanted.reason,
        lift=wanted.lift,
        with_bytes=isinstance(wanted, TakedownBody) and wanted.bytes,
    )
    if wanted.dry_run:
        after = copied(found)
        command.make(after, datetime.now(UTC))
        return len(after.pending_events) > len(found.pending_events)
    decide = partial(use_cases.decide_takedown, services.log, command, operator)

    def published() -> Audio | None:
        with services.database.read() as connection:
            return published_by(services.log, connection, command)

    async with aclosing(PublicCopy(services.publisher, services.media_threads)) as public_copy:
        if wanted.lift and kind is TRACKS:
            audio = await run_in_threadpool(published)
            if audio is not None:  # it is public again: its copy has to be there before the commit
                await public_copy.make(audio)
        changed = await run_in_threadpool(decide, also=public_copy.require_kept)
    services.wake()
    return changed
