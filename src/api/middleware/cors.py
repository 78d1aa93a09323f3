"""CORS: pages of CORS_ORIGINS may use the API with a person's cookie; other origins get no CORS headers."""

from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Send

from api.error_responses import response_to
from api.errors import CrossSiteError

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
