"""Who looks at a page: the account in use in this browser, and the others that are signed in here."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from api.auth.authentication import OptionalCaller, ServicesDep
from api.auth.session_cookie import cookie_tokens, seats
from api.middleware.rate_limits import taken_of
from api.services import Services
from identity.accounts.credentials import Principal


@dataclass(frozen=True)
class Viewer:
    """`account` is None for a visitor."""

    account: Principal | None
    others: tuple[Principal, ...] = ()


async def viewer_of(request: Request, services: ServicesDep, caller: OptionalCaller) -> Viewer:
    """Return the caller, who is counted against the rate limit once for all that the page asks the API."""
    if caller is None or len(cookie_tokens(request)) < 2:  # noqa: PLR2004 - one account has no others
        return Viewer(caller)
    here = await run_in_threadpool(seats, request, services)
    return Viewer(caller, tuple(who for _, who in here if who.did != caller.did))


async def viewer_in_cookie(request: Request, services: Services) -> Viewer:
    """Return who is signed in, for the page of an error, which must not fail itself; of a request that was not counted, a visitor."""
    taken = taken_of(request.scope)
    is_counted = services.rate_limits is None or (taken is not None and taken.retry_after is None)
    tokens = cookie_tokens(request) if is_counted else []
    try:
        here = await run_in_threadpool(seats, request, services) if tokens else []
    except Exception:  # noqa: BLE001 - the error that the page is about may be the cause
        here = []
    if not here or here[0][0] != tokens[0]:
        return Viewer(None)
    (_, account), *others = here
    return Viewer(account, tuple(who for _, who in others))


ViewerDep = Annotated[Viewer, Depends(viewer_of)]
