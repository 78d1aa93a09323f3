"""Logs one line for each request, with its path but never its query, which may hold secrets; and counts it by its route."""

import logging
import time
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.middleware.request_id import HEADER
from service.observability.process_metrics import HttpMetrics

logger: Final = logging.getLogger("mastertape.service")

UNLOGGED_PATHS: Final = frozenset({"/healthz", "/readyz", "/metrics"})


class AccessLog:
    """ASGI middleware around everything else. What monitoring asks itself is not counted."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self._app: Final = app
        self._metrics: Final = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        fields = {"method": scope["method"], "path": scope["path"], "status": None}
        began, answered_at = time.monotonic(), None

        async def send_and_record(message: Message) -> None:
            nonlocal answered_at
            if message["type"] == "http.response.start":
                answered_at = time.monotonic()
                fields["status"] = message["status"]
                fields["request_id"] = Headers(raw=message["headers"]).get(HEADER)
            await send(message)

        try:
            await self._app(scope, receive, send_and_record)
        finally:
            ended = time.monotonic()
            fields["milliseconds"] = round((ended - began) * 1000, 1)
            is_monitoring = scope["path"] in UNLOGGED_PATHS
            logger.log(logging.DEBUG if is_monitoring else logging.INFO, "request", extra=fields)
            if not is_monitoring:
                route = getattr(scope.get("route"), "path", None)
                self._metrics.answered(
                    scope["method"], route, fields["status"], (answered_at or ended) - began
                )
