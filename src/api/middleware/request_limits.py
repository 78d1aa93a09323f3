"""Limits the size and slowness of every request."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.error_responses import response_to
from api.errors import (
    ApiError,
    BodyTooLargeError,
    HeadersTooLargeError,
    TooSlowError,
    UrlTooLongError,
)

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


class RequestLimits:
    """ASGI middleware: refuses long URLs and headers unread, and a large or slow body as soon as it shows."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif (refusal := _too_long(scope)) is not None:
            await response_to(refusal)(scope, receive, send)
        else:
            scope["headers"] = _plain(scope["headers"])
            await _Exchange(scope, receive, send).run(self._app)


class _Exchange:
    """One request and its response: a refusal of the body goes before what the app responds."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._received = 0
        self._patience = PATIENCE_SECONDS
        self._whole = False
        self._answering = False
        self._refusal: Exception | None = None

    async def run(self, app: ASGIApp) -> None:
        try:
            await app(self._scope, self.receive, self.send)
        except Exception:
            if self._refusal is None or self._answering:
                raise
        if self._refusal is not None and not self._answering:
            await response_to(self._refusal)(self._scope, self._receive, self._send)

    async def send(self, message: Message) -> None:
        if self._refusal is None or self._answering:
            self._answering = True
            await self._send(message)

    async def receive(self) -> Message:
        if self._whole:
            return await self._receive()
        most: Most = self._scope.get("state", {}).get(KEY, USUAL)
        if self._received == 0 and _announced(self._scope) > most.size:
            raise self._refused(most.refusal())
        message = await self._in_time()
        self._received += len(message.get("body", b""))
        if self._received > most.size:
            raise self._refused(most.refusal())
        self._whole = not message.get("more_body", False)
        return message

    async def _in_time(self) -> Message:
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
