"""Gives every request an id, its events an envelope, and every unexpected error a response in our shape."""

import logging
import re
from contextvars import ContextVar
from typing import Final
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.error_responses import response_to
from eventstore.change import Envelope, Via

logger = logging.getLogger("mastertape.api")

HEADER: Final = "X-Request-Id"
SANE: Final = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
request_id: Final[ContextVar[str]] = ContextVar("request_id", default="")
way_in: Final[ContextVar[str]] = ContextVar("way_in", default=Via.BROWSER.value)
"""Authentication sets it; a sign-in and a sign-out are a browser's."""


def over_http(actor: str) -> Envelope:
    """Return the audit envelope of what `actor` does in this request."""
    return Envelope(actor=actor, via=way_in.get(), request_id=request_id.get())


class RequestIds:
    """ASGI middleware: takes the caller's id or makes one, and returns it with the response."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get(HEADER, "")
        this = given if SANE.fullmatch(given) else uuid4().hex
        token, way = request_id.set(this), way_in.set(Via.BROWSER.value)
        started = False

        async def send_with_id(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message)[HEADER] = this
            await send(message)

        try:
            await self._app(scope, receive, send_with_id)
        except Exception as error:
            logger.exception("request_failed", extra={"request_id": this})
            if started:
                raise
            await response_to(error)(scope, receive, send_with_id)
        finally:
            request_id.reset(token)
            way_in.reset(way)
