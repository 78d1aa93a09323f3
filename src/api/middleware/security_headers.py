"""Security headers of responses, and CORS: all of them are defined here.

A route that needs another value sets one of the sets below; headers that a response has already are kept, but no error is cached.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.error_responses import response_to
from api.errors import CrossSiteError

EVERYWHERE: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Other origins' pages read responses through CORS_ORIGINS, which these headers do not affect."""

_MEDIA: Final = {"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox"}
PUBLIC_MEDIA: Final[Mapping[str, str]] = {**_MEDIA, "Cross-Origin-Resource-Policy": "cross-origin"}
"""Any site's player may play it; opened as a page, the bytes can do nothing."""
GATED_MEDIA: Final[Mapping[str, str]] = {**_MEDIA, "Cross-Origin-Resource-Policy": "same-site"}
"""Media that needs a cookie is for same-site pages."""

STRICT_TRANSPORT: Final = "max-age=31536000"


class SecurityHeaders:
    """ASGI middleware around all others, so that errors and preflights have the headers too."""

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self._app = app
        self._headers = with_transport(https=https)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                if message["status"] >= HTTPStatus.BAD_REQUEST:
                    headers["Cache-Control"] = EVERYWHERE["Cache-Control"]
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def with_transport(*, https: bool) -> Mapping[str, str]:
    """Return the headers of every response; over https they include HSTS."""
    return {**EVERYWHERE, "Strict-Transport-Security": STRICT_TRANSPORT} if https else EVERYWHERE


METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
ALLOWED_HEADERS: Final = (
    "Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "If-Range", "Last-Event-ID",
    "Prefer", "Range", "X-Request-Id",
)  # fmt: skip
EXPOSED_HEADERS: Final = (
    "ETag", "Location", "X-Request-Id", "Retry-After", "Preference-Applied", "Content-Range",
    "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset",
)  # fmt: skip
VARY: Final = {"Vary": "Origin"}


class ListedOrigins(CORSMiddleware):
    """Starlette's middleware, without its credentials header for other origins."""

    def __init__(self, app: ASGIApp, *, origins: tuple[str, ...]) -> None:
        super().__init__(
            app,
            allow_origins=list(origins),
            allow_credentials=True,
            allow_methods=METHODS,
            allow_headers=ALLOWED_HEADERS,
            expose_headers=EXPOSED_HEADERS,
            max_age=3600,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """Refuse in the shape that all errors have."""
        response = super().preflight_response(request_headers)
        if response.status_code < HTTPStatus.BAD_REQUEST:
            return response
        refused = response_to(CrossSiteError())
        refused.headers.update(VARY)
        return refused

    async def send(self, message: Message, send: Send, request_headers: Headers) -> None:
        """Add the headers for listed origins only."""
        origin = request_headers.get("origin")
        if (
            message["type"] == "http.response.start"
            and origin is not None
            and not self.is_allowed_origin(origin)
        ):
            request_headers = Headers()
        await super().send(message, send, request_headers)
