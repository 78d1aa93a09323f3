"""Shows errors of the API to browsers as pages that look like the rest."""

import json
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

from fastapi import Request, Response
from fastapi.responses import RedirectResponse
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.middleware.plyr_paths import is_plyr
from api.routers.oauth import LOGIN_PATH
from api.services import Services
from web.api_client import RefusedError
from web.page_route import accepts_html
from web.rendering import page_headers, rendered

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
OTHERWISE: Final = "That did not work"
NOT_FOUND: Final = "There is no page at this address. It may have moved, or its track was deleted."


class ErrorPages:
    """ASGI middleware: replaces the JSON of an error by a page where the caller accepts HTML."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and accepts_html(scope) and not is_plyr(scope["path"]):
            send = _Rewriting(send, self._services)
        await self._app(scope, receive, send)


class _Rewriting:
    """Sends a response on; of an error in JSON, a page with its message."""

    def __init__(self, send: Send, services: Services) -> None:
        self._send = send
        self._services = services
        self._start: Message | None = None
        self._content = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_error(message):
            self._start = message
        elif self._start is None:
            await self._send(message)
        else:
            self._content += message.get("body", b"")
            if not message.get("more_body", False):
                await self._send_page(self._start, json.loads(self._content)["detail"])

    async def _send_page(self, start: Message, detail: dict[str, Any]) -> None:
        headers = MutableHeaders(scope=start)
        page = error_page(start["status"], detail, self._services, headers.get("x-request-id"))
        headers.update(page_headers(self._services))
        headers.update({"Content-Type": page.headers["content-type"], "Content-Length": str(len(page.body))})
        await self._send(start)
        await self._send({"type": "http.response.body", "body": bytes(page.body)})


def error_page(
    status: int, detail: dict[str, Any], services: Services, request_id: str | None = None
) -> Response:
    """Return the page of an error, as the API words it."""
    message = NOT_FOUND if detail["error"] == "not_found" else detail["message"]
    return rendered(
        "error.html",
        services,
        status,
        title=TITLES.get(status, OTHERWISE),
        message=message,
        number=status,
        scope=detail.get("scope"),
        request_id=request_id if status >= HTTPStatus.INTERNAL_SERVER_ERROR else None,
    )


async def refused(request: Request, error: Exception) -> Response:
    """Answer where the API refused what a page needs: lead to the sign-in, or show the refusal."""
    assert isinstance(error, RefusedError)  # noqa: S101 - registered for it alone
    answer = error.answer
    if answer.status == HTTPStatus.UNAUTHORIZED and request.method == "GET":
        return RedirectResponse(sign_in_address(request), HTTPStatus.SEE_OTHER)
    return Response(
        answer.content,
        answer.status,
        {name: value for name, value in answer.headers.items() if name != "content-length"},
    )


def sign_in_address(request: Request) -> str:
    """Return the address of the sign-in that comes back to this page."""
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return f"{LOGIN_PATH}?{urlencode({'return_to': here})}"


def _is_error(start: Message) -> bool:
    is_json = MutableHeaders(scope=start).get("content-type") == "application/json"
    return start["status"] >= HTTPStatus.BAD_REQUEST and is_json
