"""Logs one line for each request, with its path but never its query, which may hold secrets."""

import logging
import time
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.middleware.request_id import HEADER

logger: Final = logging.getLogger("mastertape.service")

UNLOGGED_PATHS: Final = frozenset({"/healthz", "/readyz", "/metrics"})


class AccessLog:
    """ASGI middleware around everything else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app: Final = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request and log its outcome."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        fields = {"method": scope["method"], "path": scope["path"], "status": None}
        began = time.monotonic()

        async def send_and_record(message: Message) -> None:
            if message["type"] == "http.response.start":
                fields["status"] = message["status"]
                fields["request_id"] = Headers(raw=message["headers"]).get(HEADER)
            await send(message)

        try:
            await self._app(scope, receive, send_and_record)
        finally:
            fields["milliseconds"] = round((time.monotonic() - began) * 1000, 1)
            level = logging.DEBUG if scope["path"] in UNLOGGED_PATHS else logging.INFO
            logger.log(level, "request", extra=fields)
