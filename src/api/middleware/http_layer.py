"""What applies to every request, in one ASGI layer.

1. The request gets an id; a preflight, a long URL and long headers are answered unread.
2. The app reads a body of limited size and slowness; a refusal of the body goes before what the app responds.
3. An error that no route has counted is counted by address, and refused beyond the limit.
4. The response gets its headers, and the body of an error the shape that its reader knows.
5. One line is logged, with the path but neither the query nor the token of a secret link.
"""

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Final
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.error_responses import response_to
from api.errors import (
    ApiError,
    BodyTooLargeError,
    CrossSiteError,
    HeadersTooLargeError,
    RateLimitedError,
    TooSlowError,
    UrlTooLongError,
)
from api.middleware.rate_limits import RateLimits, taken_of
from eventstore.change import Envelope, Via

logger: Final = logging.getLogger("mastertape.api")
access_log: Final = logging.getLogger("mastertape.service")

HEADER: Final = "X-Request-Id"
SANE: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
UNLOGGED_PATHS: Final = frozenset({"/healthz", "/readyz", "/metrics"})
"""What monitoring asks itself is neither logged nor counted."""
PREVIEWS: Final = "/releases/preview/"
"""Where the page is that a secret link leads to; its token follows."""
request_id: Final[ContextVar[str]] = ContextVar("request_id", default="")
way_in: Final[ContextVar[str]] = ContextVar("way_in", default=Via.BROWSER.value)
"""Authentication sets it; a sign-in and a sign-out are a browser's."""


def over_http(actor: str) -> Envelope:
    """Return the audit envelope of what `actor` does in this request."""
    return Envelope(actor=actor, via=way_in.get(), request_id=request_id.get())


def loggable(address: str) -> str:
    """Return a path or URL for logs and traces: without its query, which may hold secrets, and the token of a secret link."""
    before, previews, link = address.partition("?")[0].partition(PREVIEWS)
    if not link:
        return f"{before}{previews}"
    return f"{before}{previews}{{token}}/{{name}}" if "/" in link else f"{before}{previews}{{token}}"


EVERYWHERE: Final[Mapping[str, str]] = {
    "Content-Security-Policy": "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""A response may set others, but no error is cached. Other origins' pages read responses through CORS_ORIGINS, which these do not affect."""

_MEDIA: Final = {"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox"}
FRAMED: Final = b"frame-ancestors *"
"""In the policy of a page that any other may frame."""
PUBLIC_MEDIA: Final[Mapping[str, str]] = {**_MEDIA, "Cross-Origin-Resource-Policy": "cross-origin"}
"""Any site's player may play it; opened as a page, the bytes can do nothing."""
GATED_MEDIA: Final[Mapping[str, str]] = {**_MEDIA, "Cross-Origin-Resource-Policy": "same-site"}
"""Media that needs a cookie is for same-site pages."""

STRICT_TRANSPORT: Final = "max-age=31536000"
METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
ALLOWED_HEADERS: Final = (
    "Authorization", "Content-Type", "Idempotency-Key", "If-Match", "If-None-Match", "If-Range", "Last-Event-ID",
    "Prefer", "Range", "X-Request-Id", "Content-Disposition", "Upload-Complete", "Upload-Draft-Interop-Version", "Upload-Length",
    "Upload-Offset",
)  # fmt: skip
EXPOSED_HEADERS: Final = (
    "ETag", "Location", "X-Request-Id", "Retry-After", "Preference-Applied", "Content-Range",
    "RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset", "Upload-Complete", "Upload-Length", "Upload-Limit", "Upload-Offset",
)  # fmt: skip

FIELDS_BYTES: Final = 1024 * 1024
URL_BYTES: Final = 8 * 1024
HEADERS_BYTES: Final = 32 * 1024
PATIENCE_SECONDS: Final = 30.0
"""A fast client may be silent for this long: a phone needs it to change networks."""
SLOWEST: Final = 16 * 1024
"""Bytes per second that a body has to average."""
KEY: Final = "most"


@dataclass(frozen=True)
class Most:
    """The maximum size of a body, and a factory for the error beyond it: one instance raised twice would keep both requests alive."""

    size: int
    refusal: Callable[[], Exception]


USUAL: Final = Most(FIELDS_BYTES, partial(BodyTooLargeError, FIELDS_BYTES))


def allow(request: Request, most: Most) -> None:
    """Allow this request another size: files are larger than fields."""
    setattr(request.state, KEY, most)


ErrorBody = Callable[[Scope, int, MutableHeaders, bytes], Awaitable[bytes]]
"""Returns the body of an error as the caller reads it, from its status, headers, which it may change, and our JSON."""
Answered = Callable[[str, str | None, int | None, float], None]
"""Counts a request: method, template of the route, status (None if the client left first), seconds until the response began."""


class HttpLayer:
    def __init__(
        self,
        app: ASGIApp,
        *,
        https: bool,
        origins: tuple[str, ...],
        limits: RateLimits | None,
        error_body: ErrorBody,
        answered: Answered | None,
    ) -> None:
        self._app: Final = app
        headers = {**EVERYWHERE, "Strict-Transport-Security": STRICT_TRANSPORT} if https else EVERYWHERE
        self.headers: Final = [
            (name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()
        ]
        self.origins: Final = ListedOrigins(app, origins) if origins else None
        self.limits: Final = limits
        self.error_body: Final = error_body
        self._answered: Final = answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        this = given if SANE.fullmatch(given) else uuid4().hex
        token, way = request_id.set(this), way_in.set(Via.BROWSER.value)
        exchange, began = _Exchange(self, scope, receive, send, this), time.monotonic()
        try:
            await exchange.run(self._app)
        finally:
            request_id.reset(token)
            way_in.reset(way)
            self._record(scope, exchange, began)

    def _record(self, scope: Scope, exchange: "_Exchange", began: float) -> None:
        ended, path = time.monotonic(), scope["path"]
        route = getattr(scope.get("route"), "path", None)
        is_monitoring = path in UNLOGGED_PATHS
        fields = {
            "method": scope["method"],
            "path": loggable(path),
            "status": exchange.status,
            "request_id": exchange.id,
            "milliseconds": round((ended - began) * 1000, 1),
        }
        access_log.log(logging.DEBUG if is_monitoring else logging.INFO, "request", extra=fields)
        if self._answered is not None and not is_monitoring:
            self._answered(scope["method"], route, exchange.status, (exchange.answered_at or ended) - began)


class _Exchange:
    def __init__(self, layer: HttpLayer, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        self.id: Final = request_id
        self.status: int | None = None
        self.answered_at: float | None = None
        self._layer: Final = layer
        self._scope: Final = scope
        self._receive: Final = receive
        origins = layer.origins
        self._send: Final = send if origins is None else origins.sending(scope, send)
        self._received_bytes = 0
        self._patience = PATIENCE_SECONDS
        self._is_whole = False
        self._is_answering = False
        self._is_over_limit = False
        self._refusal: Exception | None = None
        self._error: Message | None = None
        self._error_body = b""

    async def run(self, app: ASGIApp) -> None:
        origins = self._layer.origins
        if origins is not None and (preflight := origins.preflight(self._scope)) is not None:
            await preflight(self._scope, self._receive, self._finish)
            return
        self._refusal = _too_long(self._scope)
        if self._refusal is None:
            self._scope["headers"] = _plain(self._scope["headers"])
            try:
                await app(self._scope, self.receive, self.send)
            except Exception as error:
                if self._is_answering or self._refusal is None:
                    logger.exception("request_failed", extra={"request_id": self.id})
                    if self._is_answering:
                        raise
                    await response_to(error)(self._scope, self._receive, self._finish)
                    return
        if self._refusal is not None and not self._is_answering:
            await response_to(self._refusal)(self._scope, self._receive, self._count)

    async def receive(self) -> Message:
        """Receive a part of the body for the app, which may be too much or too late."""
        if self._is_whole:
            return await self._receive()
        most: Most = self._scope.get("state", {}).get(KEY, USUAL)
        if self._received_bytes == 0 and _announced(self._scope) > most.size:
            raise self._refused(most.refusal())
        message = await self._receive_in_time()
        self._received_bytes += len(message.get("body", b""))
        if self._received_bytes > most.size:
            raise self._refused(most.refusal())
        self._is_whole = not message.get("more_body", False)
        return message

    async def _receive_in_time(self) -> Message:
        """Count only the time spent waiting for the client."""
        clock = asyncio.get_running_loop().time
        began = clock()
        try:
            async with asyncio.timeout(self._patience):
                message = await self._receive()
        except TimeoutError:
            raise self._refused(TooSlowError()) from None
        earned = len(message.get("body", b"")) / SLOWEST
        self._patience = min(self._patience - (clock() - began) + earned, PATIENCE_SECONDS)
        return message

    def _refused(self, refusal: Exception) -> Exception:
        self._refusal = refusal
        return refusal

    async def send(self, message: Message) -> None:
        """Send what the app responds, unless the request's body was refused before that."""
        if self._refusal is None or self._is_answering:
            self._is_answering = True
            await self._count(message)

    async def _count(self, message: Message) -> None:
        limits = self._layer.limits
        if limits is not None and _is_error(message) and taken_of(self._scope) is None:
            try:
                limits.take(Request(self._scope), None)
            except RateLimitedError as error:
                self._is_over_limit = True
                await response_to(error)(self._scope, self._receive, self._finish)
        if not self._is_over_limit:
            await self._finish(message)

    async def _finish(self, message: Message) -> None:
        """Add the headers; hold an error in JSON until its body is complete."""
        if message["type"] == "http.response.start":
            self.status, self.answered_at = message["status"], time.monotonic()
            message["headers"] = self._headers(message)
            if _is_error(message) and (b"content-type", b"application/json") in message["headers"]:
                self._error = message
                return
        elif self._error is not None:
            self._error_body += message.get("body", b"")
            if message.get("more_body", False):
                return
            headers = MutableHeaders(scope=self._error)
            body = await self._layer.error_body(self._scope, self._error["status"], headers, self._error_body)
            headers["Content-Length"] = str(len(body))
            await self._send(self._error)
            message = {"type": "http.response.body", "body": body}
        await self._send(message)

    def _headers(self, start: Message) -> list[tuple[bytes, bytes]]:
        """Return the response's headers, and those that it does not have itself."""
        headers: list[tuple[bytes, bytes]] = list(start["headers"])
        if _is_error(start):
            headers = [each for each in headers if each[0] != b"cache-control"]
        known = {name for name, _ in headers}
        if any(name == b"content-security-policy" and FRAMED in value for name, value in headers):
            known.add(b"x-frame-options")  # which has no value that allows it
        headers += [each for each in self._layer.headers if each[0] not in known]
        headers.append((b"x-request-id", self.id.encode()))
        if (taken := taken_of(self._scope)) is not None:
            headers += [
                (b"ratelimit-limit", b"%d" % taken.limit),
                (b"ratelimit-remaining", b"%d" % taken.remaining),
                (b"ratelimit-reset", b"%d" % taken.reset),
            ]
        return headers


def _is_error(message: Message) -> bool:
    return message["type"] == "http.response.start" and int(message["status"]) >= HTTPStatus.BAD_REQUEST


def _plain(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Drop the backslashes of cookies: no cookie of ours has one, and CPython 3.11.9 unescapes them in quadratic time."""
    return [(name, value.replace(b"\\", b"") if name == b"cookie" else value) for name, value in headers]


def _announced(scope: Scope) -> int:
    length = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    return int(length) if length.isdigit() and len(length) < 20 else 0  # noqa: PLR2004 - servers refuse others


def _too_long(scope: Scope) -> ApiError | None:
    if len(scope.get("raw_path") or b"") + len(scope["query_string"]) > URL_BYTES:
        return UrlTooLongError(URL_BYTES)
    if sum(len(name) + len(value) for name, value in scope["headers"]) > HEADERS_BYTES:
        return HeadersTooLargeError(HEADERS_BYTES)
    return None


class ListedOrigins(CORSMiddleware):
    """Starlette's middleware, without its credentials header for other origins."""

    def __init__(self, app: ASGIApp, origins: tuple[str, ...]) -> None:
        super().__init__(
            app,
            allow_origins=list(origins),
            allow_credentials=True,
            allow_methods=METHODS,
            allow_headers=ALLOWED_HEADERS,
            expose_headers=EXPOSED_HEADERS,
            max_age=3600,
        )

    def preflight(self, scope: Scope) -> Response | None:
        """Return the response to a preflight; a refusal has the shape that all errors have."""
        headers = Headers(scope=scope)
        if scope["method"] != "OPTIONS" or not {"origin", "access-control-request-method"} <= set(headers):
            return None
        response = self.preflight_response(headers)
        if response.status_code < HTTPStatus.BAD_REQUEST:
            return response
        refused = response_to(CrossSiteError())
        refused.headers["Vary"] = "Origin"
        return refused

    def sending(self, scope: Scope, send: Send) -> Send:
        """Return a `send` that adds the headers, for listed origins only."""
        headers = Headers(scope=scope)
        is_listed = self.is_allowed_origin(headers.get("origin", ""))
        return partial(self.send, send=send, request_headers=headers if is_listed else Headers())
