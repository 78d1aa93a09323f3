"""Shows errors of the API to browsers as pages that look like the rest."""

import json
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.datastructures import MutableHeaders
from starlette.types import Scope

from api.middleware.rate_limits import is_plyr
from api.plyr.surface import error_body as error_body_for_programs
from api.routers.oauth import LOGIN_PATH
from api.services import Services
from identity.accounts.credentials import Scope as TokenScope
from web.ask import accepts_html
from web.forms import RefusedError
from web.rendering import Viewer, address_of, page_headers, rendered, viewer_in_cookie

TITLES: Final[dict[int, str]] = {
    401: "Sign in first",
    402: "For supporters",
    403: "Not yours to see",
    404: "Nothing here",
    408: "That took too long",
    413: "That is too large",
    429: "One moment",
    500: "Something broke",
    501: "Not offered here",
    503: "Back in a moment",
}
NEEDS_SIGN_IN: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.PAYMENT_REQUIRED})
OTHERWISE: Final = "That did not work"
WORDS: Final = {
    "track_not_found": "There is no track at this address. Its artist may have deleted it.",
    "media_not_found": "There is nothing to hear or see at this address any more.",
    "not_authenticated": "What is here is for those who are signed in.",
    "rate_limited": "There were too many requests from you in a minute. Nothing was changed.",
    "internal": "This is our fault, and it has been logged.",
}
"""What a person reads for the code of an error, where the API's own message is for programs."""
NO_PAGE: Final = "There is no page at this address. Look for a typo, or begin at the front page."
FRAMEWORK_NOT_FOUND: Final = "Not Found"
VISITOR: Final = Viewer(None)


async def error_body(scope: Scope, status: int, headers: MutableHeaders, body: bytes) -> bytes:
    """Return the body of an error: a page where the caller accepts HTML, else the API's."""
    if is_plyr(scope["path"]) or not accepts_html(scope):
        return await error_body_for_programs(scope, status, headers, body)
    request = Request(scope)
    services: Services = request.app.state.services
    is_ours = status >= HTTPStatus.INTERNAL_SERVER_ERROR
    page = error_page(
        services,
        status,
        json.loads(body)["detail"],
        viewer=VISITOR if is_ours else await viewer_in_cookie(request, services),
        retry_after=headers.get("retry-after"),
        sign_in=sign_in_address(request)
        if status in NEEDS_SIGN_IN and request.method in {"GET", "HEAD"}
        else LOGIN_PATH,
        request_id=headers.get("x-request-id"),
    )
    headers.update({**page_headers(services), "Content-Type": page.headers["content-type"]})
    return bytes(page.body)


def error_page(
    services: Services,
    status: int,
    detail: dict[str, Any],
    *,
    viewer: Viewer = VISITOR,
    retry_after: str | None = None,
    sign_in: str = LOGIN_PATH,
    request_id: str | None = None,
) -> HTMLResponse:
    """Return the page of an error; only one of ours names its request."""
    message = NO_PAGE if detail["message"] == FRAMEWORK_NOT_FOUND else detail["message"]
    return rendered(
        "error.html",
        services,
        status,
        viewer=viewer,
        title=TITLES.get(status, OTHERWISE),
        message=WORDS.get(detail["error"], message),
        number=status,
        scope=detail.get("scope"),
        retry_after=retry_after,
        sign_in=sign_in,
        request_id=request_id if status >= HTTPStatus.INTERNAL_SERVER_ERROR else None,
    )


async def sign_in_first(request: Request, _error: Exception) -> Response:
    return RedirectResponse(sign_in_address(request), HTTPStatus.SEE_OTHER)


async def refused(_request: Request, error: Exception) -> Response:
    """Answer with the refusal, from which `error_body` makes a page."""
    assert isinstance(error, RefusedError)  # noqa: S101 - registered for it alone
    answer = error.answer
    return Response(
        answer.content,
        answer.status,
        {name: value for name, value in answer.headers.items() if name != "content-length"},
    )


def sign_in_address(request: Request) -> str:
    """Return the address of the sign-in that comes back to this page."""
    asked = {"return_to": address_of(request)}
    if request.url.path.split("/")[1] == "ops":
        asked["scope"] = TokenScope.OPERATOR
    return f"{LOGIN_PATH}?{urlencode(asked)}"
