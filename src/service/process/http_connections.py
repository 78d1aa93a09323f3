"""HTTP connections of `serve`: a client must send a head, and take a response, in time; malformed HTTP gets our error body."""

import asyncio
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from api.error_responses import error_response
from api.middleware.request_limits import HEADERS_BYTES, URL_BYTES
from api.middleware.security_headers import EVERYWHERE

REQUEST_HEAD_TIMEOUT_SECONDS: Final = 20.0
STALLED_RESPONSE_TIMEOUT_SECONDS: Final = 120.0
"""For a client to take what is buffered for it, some 300 KiB: a player that was paused goes on with a range request."""
FIRST_REQUEST_TIMEOUT_SECONDS: Final = 1.0
"""For the first request on a connection that was accepted just before this process began to end."""
MAX_HEAD_BYTES: Final = URL_BYTES + HEADERS_BYTES


class HttpConnection(HttpToolsProtocol):
    """One connection. uvicorn itself waits without limit for a head, an unneeded body, and a client that reads no response.

    Neither does it limit a head that has not ended; request_limits.py limits those that have.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timeout: asyncio.TimerHandle | None = None
        self._stall_timeout: asyncio.TimerHandle | None = None
        self._head_bytes: int | None = None
        """What has arrived of a head that has not ended; None between heads."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_head_timer()

    def data_received(self, data: bytes) -> None:
        """Receive bytes; a partial head does not restart the timer."""
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_head_timer()
        elif self._head_timeout is None:
            self._start_head_timer()
        if self._head_bytes is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.send_400_response("The request's head is too long.")

    def on_message_begin(self) -> None:
        """A head begins."""
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A head has ended; the parser itself does not ask for the one Host that HTTP/1.1 demands."""
        self._head_bytes = None
        assert self.parser is not None  # noqa: S101 - it is the parser that calls this
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (not hosts and self.parser.get_http_version() == "1.1"):
            raise httptools.HttpParserError
        super().on_headers_complete()

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

    def shutdown(self) -> None:
        """End after the response under way. uvicorn would close a connection whose first request is still to arrive."""
        if self.cycle is None:
            self.loop.call_later(FIRST_REQUEST_TIMEOUT_SECONDS, super().shutdown)
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Respond to malformed HTTP."""
        response = error_response(400, "bad_request", msg, {**EVERYWHERE, "Connection": "close"})
        head = b"".join(b"%s: %s\r\n" % header for header in response.raw_headers)
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n%s\r\n%s" % (head, bytes(response.body)))
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
