"""The caller's own account."""

from fastapi import APIRouter, Response
from pydantic import BaseModel

from api.caller import Parts, SignedIn
from api.documented import errors
from api.json_response import AsciiJsonResponse

router = APIRouter(tags=["account"])


class MeBody(BaseModel):
    """Who is asking, and what the token may do."""

    did: str
    handle: str
    display_name: str
    pds_url: str | None
    scope: str
    admin: bool


@router.get("/me", response_model=MeBody, responses=errors(401, 503))
def read_me(principal: SignedIn, parts: Parts) -> Response:
    """Read who is asking."""
    account = parts.accounts.get(principal.did)
    body = MeBody(
        did=principal.did,
        handle=principal.handle,
        display_name=account.display_name if account is not None else principal.handle,
        pds_url=account.pds_url if account is not None else None,
        scope=principal.scope.value,
        admin=principal.admin,
    )
    return AsciiJsonResponse(body.model_dump(mode="json"))
