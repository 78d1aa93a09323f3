"""Security headers of responses: all of them are defined here.

A route that needs another value sets one of the sets below; headers that a response has already are kept, but no error is cached.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

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
