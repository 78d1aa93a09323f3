"""HTTP connections of `serve`: a request head must arrive within a time limit, and malformed HTTP gets our error body."""

import asyncio
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from api.error_responses import error_response
from api.middleware.security_headers import EVERYWHERE

REQUEST_HEAD_TIMEOUT_SECONDS: Final = 20.0


class HttpConnection(H11Protocol):
    """One connection. uvicorn itself waits without limit for a head, and for the rest of a body that it no longer needs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timeout: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_head_timer()

    def data_received(self, data: bytes) -> None:
        """Receive bytes; a partial head does not restart the timer."""
        super().data_received(data)
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_head_timer()
        elif self._head_timeout is None:
            self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Respond to malformed HTTP."""
        response = error_response(400, "bad_request", msg, {**EVERYWHERE, "Connection": "close"})
        for event in (
            h11.Response(status_code=400, headers=response.raw_headers, reason=b"Bad Request"),
            h11.Data(data=bytes(response.body)),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _start_head_timer(self) -> None:
        self._head_timeout = self.loop.call_later(
            REQUEST_HEAD_TIMEOUT_SECONDS, self.timeout_keep_alive_handler
        )

    def _stop_head_timer(self) -> None:
        if self._head_timeout is not None:
            self._head_timeout.cancel()
            self._head_timeout = None
