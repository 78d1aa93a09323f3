"""One line for each request. Paths only: a query may hold what is nobody's business."""

import logging
import time
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.middleware.request_id import HEADER

logger: Final = logging.getLogger("mastertape.service")

PROBES: Final = frozenset({"/healthz", "/readyz", "/metrics"})


class AccessLog:
    """ASGI middleware around everything else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app: Final = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request and say how it went."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        facts = {"method": scope["method"], "path": scope["path"], "status": None}
        began = time.monotonic()

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                facts["status"] = message["status"]
                facts["request_id"] = Headers(raw=message["headers"]).get(HEADER)
            await send(message)

        try:
            await self._app(scope, receive, noted)
        finally:
            facts["milliseconds"] = round((time.monotonic() - began) * 1000, 1)
            level = logging.DEBUG if scope["path"] in PROBES else logging.INFO
            logger.log(level, "request", extra=facts)
