"""HTTP connections of `serve`: a client must send a head, and take a response, in time; malformed HTTP gets our error body."""

import asyncio
from typing import Any, Final

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from api.error_responses import error_response
from api.middleware.security_headers import EVERYWHERE

REQUEST_HEAD_TIMEOUT_SECONDS: Final = 20.0
STALLED_RESPONSE_TIMEOUT_SECONDS: Final = 120.0
"""For a client to take what is buffered for it, some 300 KiB: a player that was paused goes on with a range request."""


class HttpConnection(H11Protocol):
    """One connection. uvicorn itself waits without limit for a head, an unneeded body, and a client that reads no response."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timeout: asyncio.TimerHandle | None = None
        self._stall_timeout: asyncio.TimerHandle | None = None

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

    def pause_writing(self) -> None:
        """Limit how long the client may let the response wait; closing instead would wait for it too."""
        super().pause_writing()
        self._stall_timeout = self.loop.call_later(STALLED_RESPONSE_TIMEOUT_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        self._stop_stall_timer()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        self._stop_stall_timer()
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

    def _stop_stall_timer(self) -> None:
        if self._stall_timeout is not None:
            self._stall_timeout.cancel()
            self._stall_timeout = None

    def _stop_head_timer(self) -> None:
        if self._head_timeout is not None:
            self._head_timeout.cancel()
            self._head_timeout = None
