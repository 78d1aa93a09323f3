"""What answers tell browsers to allow: all of these headers stand here and nowhere else.

A route that needs another value than everybody's sets one of the sets below; what an answer has, it keeps.
"""

from collections.abc import Mapping
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
"""Pages of others get at answers through CORS_ORIGINS, which none of this concerns."""

SIGN_IN_PAGE: Final[Mapping[str, str]] = {
    "Content-Security-Policy": EVERYWHERE["Content-Security-Policy"].replace(
        "form-action 'none'", "form-action 'self'"
    )
}
"""Chromium holds the redirect that a form leads to against form-action too: see `leading_page`."""

_MEDIA: Final = {"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox"}
PUBLIC_MEDIA: Final[Mapping[str, str]] = {**_MEDIA, "Cross-Origin-Resource-Policy": "cross-origin"}
"""Anybody's player may play it; whatever the bytes are, as a page they could do nothing."""
GATED_MEDIA: Final[Mapping[str, str]] = {**_MEDIA, "Cross-Origin-Resource-Policy": "same-site"}
"""What a cookie opens is for pages that get the cookie too."""

STRICT_TRANSPORT: Final = "max-age=31536000"


class SecurityHeaders:
    """ASGI middleware around all that answers, so that errors and preflights have them too."""

    def __init__(self, app: ASGIApp, *, https: bool) -> None:
        self._app = app
        self._headers = with_transport(https=https)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


def with_transport(*, https: bool) -> Mapping[str, str]:
    """Return the headers of every response; over https they include HSTS."""
    return {**EVERYWHERE, "Strict-Transport-Security": STRICT_TRANSPORT} if https else EVERYWHERE
