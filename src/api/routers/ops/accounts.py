"""One account for operators: its lane, and its sessions and tokens, which an admin ends."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from pydantic import BaseModel, Field

from api.auth.authentication import Admin, OperatorDep, ServicesDep
from api.errors import ArtistNotFoundError, TokenNotFoundError
from api.json_response import result_of
from api.middleware.http_layer import over_http
from api.openapi import errors, operation
from api.pipeline.idempotent_request import Idempotent
from api.requests.parameters import DRY_RUN, Name, StrictRoute
from api.responses.ops.deliveries import LaneOfAccountBody, lane_of_account
from api.responses.ops.repairs import Reason
from api.routers.account.auth import TokensBody, token_row
from api.services import Services
from application import operators as use_cases
from eventstore.idempotency import CommandResult
from outbox.operations.operators import Operator

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
