"""One account for operators: its lane, and its sessions and tokens, which an admin ends; and its tracks, which an admin takes down."""

from collections.abc import Sequence
from contextlib import aclosing
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from aggregates.comment import Comment
from aggregates.track import Track
from aggregates.values import Audio
from api.auth.authentication import Admin, OperatorDep, ServicesDep
from api.errors import ArtistNotFoundError, TokenNotFoundError
from api.middleware.http_layer import over_http
from api.openapi import errors, operation
from api.pipeline.idempotent_request import Idempotent, result_of
from api.pipeline.media_intake import PublicCopy
from api.requests.parameters import DRY_RUN, CommentId, Name, StrictRoute, TrackId
from api.responses.ops.deliveries import LaneOfAccountBody, lane_of_account
from api.responses.ops.repairs import Reason
from api.routers.auth import TokensBody, token_row
from api.services import Services
from application import operators as use_cases
from application.errors import CommentNotFoundError, TrackNotFoundError
from application.operators import Takedown
from application.subjects import On, find
from application.tracks.commands import published_by
from eventstore.idempotency import CommandResult
from outbox.operations.operators import Operator
from projections import outsiders
from projections.tracks.queries import track_by_id
from projections.tracks.table import TrackView
from storage.taken_down import taken_down

router = APIRouter(tags=["operations"], route_class=StrictRoute)

AccountDid = Annotated[Name, Path(description="the DID of an account")]


class EndTokensBody(BaseModel):
    """Which sessions and tokens to end: one, or all; with `dry_run` they are only counted."""

    reason: Reason
    token_id: Name | None = Field(
        None, description="the `id` of the one to end, with those made with it; without it, all"
    )
    expected: int | None = Field(
        None,
        ge=0,
        description="how many were shown: where it would be another number now, nothing is done (409)",
    )
    dry_run: bool = DRY_RUN


class EndedTokensBody(BaseModel):
    """How many were ended, or would be."""

    ended: int
    dry_run: bool


@router.get("/ops/lanes/{did}", responses=errors(400))
def read_lane_of(_operator: OperatorDep, services: ServicesDep, did: AccountDid) -> LaneOfAccountBody:
    """Read what waits in an account's lane, what it waits for, its next time, its login's state and its host."""
    with services.database.read() as connection:
        return lane_of_account(connection, did, services.database.now(connection))


@router.get("/ops/accounts/{did}/tokens")
def read_tokens_of(
    operator: OperatorDep,
    services: ServicesDep,
    did: AccountDid,
    token_id: Annotated[Name | None, Query(description="only this one, and those that end with it")] = None,
) -> TokensBody:
    """List the sessions and tokens of an account that still work, without the tokens themselves."""
    items = [token_row(each, operator) for each in _usable(services, did, token_id)]
    return TokensBody(items=items)


@router.post("/ops/accounts/{did}/tokens/end", **operation(EndTokensBody, EndedTokensBody))
async def end_tokens_of(
    did: AccountDid, admin: Admin, services: ServicesDep, request: Idempotent
) -> Response:
    """End one session or token of an account, with the tokens made with it, or all, at once; its login at the PDS stays, and what waits is still delivered."""

    def end(wanted: EndTokensBody) -> CommandResult:
        ended = len(_usable(services, did, wanted.token_id))
        if not wanted.dry_run:
            operator = Operator(over_http(admin.did), wanted.reason)
            ended = use_cases.end_tokens(
                services.log, did, operator, token_id=wanted.token_id, expected=wanted.expected
            )
        if wanted.token_id is not None and not ended:
            raise TokenNotFoundError
        return result_of(EndedTokensBody(ended=ended, dry_run=wanted.dry_run))

    return await request.perform(EndTokensBody, end)


def _usable(services: Services, did: str, only: str | None) -> Sequence[Any]:
    if services.accounts.get(did) is None:
        raise ArtistNotFoundError
    return services.credentials.issued_to(did, only)


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


class TakenDownBody(HiddenBody):
    track_id: int


class CommentTakenDownBody(HiddenBody):
    comment_id: int


@router.post("/ops/tracks/{track_id}/takedown", **operation(TakedownBody, TakenDownBody))
async def decide_takedown(
    track_id: TrackId, admin: Admin, services: ServicesDep, request: Idempotent
) -> Response:
    """Hide a track from all but its owner and operators, and its bytes from all but admins, or lift that; its record stays.

    Only this lifts it; undelete and revert do not.
    """

    async def decide(wanted: TakedownBody) -> CommandResult:
        before = await run_in_threadpool(_track, services, track_id)
        command = Takedown(
            Track, track_id, owner=before.did, reason=wanted.reason, lift=wanted.lift, with_bytes=wanted.bytes
        )
        if wanted.dry_run:
            changed = await run_in_threadpool(_would_change, services, command, before)
        else:
            operator = Operator(over_http(admin.did), wanted.reason)
            changed = await _decide(services, command, operator)
            services.wake()
        at = (await run_in_threadpool(_track, services, track_id)).taken_down_at
        return result_of(
            TakenDownBody(track_id=track_id, taken_down_at=at, affected=int(changed), dry_run=wanted.dry_run)
        )

    return await request.perform(TakedownBody, decide)


@router.post("/ops/comments/{comment_id}/takedown", **operation(HideBody, CommentTakenDownBody))
async def decide_comment(
    comment_id: CommentId, admin: Admin, services: ServicesDep, request: Idempotent
) -> Response:
    """Hide a comment from all but its author and operators, or lift that; its record stays. Only this lifts it."""

    def comment() -> Any:
        with services.database.read() as connection:
            found = find(services.log, connection, On(Comment, comment_id))
            found = found or outsiders.comment_at(connection, comment_id)
        if found is None:
            raise CommentNotFoundError
        return found

    def decide(wanted: HideBody) -> CommandResult:
        before = comment()
        operator = Operator(over_http(admin.did), wanted.reason)
        if wanted.dry_run:
            changed = (before.taken_down_at is not None) is wanted.lift
        elif isinstance(before, Comment):
            command = Takedown(Comment, comment_id, owner=before.did, reason=wanted.reason, lift=wanted.lift)
            changed = use_cases.decide_takedown(services.log, command, operator)
            services.wake()
        else:
            reason = None if wanted.lift else wanted.reason
            changed = use_cases.decide_takedown_of_outsider(
                services.log, comment_id, before.owner, operator, reason=reason
            )
        at, affected, dry_run = comment().taken_down_at, int(changed), wanted.dry_run
        body = CommentTakenDownBody(
            comment_id=comment_id, taken_down_at=at, affected=affected, dry_run=dry_run
        )
        return result_of(body)

    return await request.perform(HideBody, decide)


async def _decide(services: Services, command: Takedown[Track], operator: Operator) -> bool:
    """Lifting makes the audio public again: its copy has to be there before the commit."""
    decide = partial(use_cases.decide_takedown, services.log, command, operator)
    audio = await run_in_threadpool(_published_by, services, command) if command.lift else None
    async with aclosing(PublicCopy(services.publisher, services.media_threads)) as public_copy:
        if audio is not None:
            await public_copy.make(audio)
        return await run_in_threadpool(decide, also=public_copy.require_kept)


def _would_change(services: Services, command: Takedown[Track], track: TrackView) -> bool:
    if (track.taken_down_at is not None) is command.lift:
        return True
    cids = {track.audio.cid, *((track.artwork.cid,) if track.artwork else ())}
    with services.database.read() as connection:
        return command.with_bytes and not command.lift and taken_down(connection, cids) != cids


def _published_by(services: Services, command: Takedown[Track]) -> Audio | None:
    with services.database.read() as connection:
        return published_by(services.log, connection, command)


def _track(services: Services, track_id: int) -> TrackView:
    with services.database.read() as connection:
        view = track_by_id(connection, track_id)
    if view is None:
        raise TrackNotFoundError
    return view
