"""HTTP connections of `serve`: a client must send a head, and take a response, in time; malformed HTTP gets our error body."""

import asyncio
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from api.error_responses import error_response
from api.middleware.http_layer import EVERYWHERE, FIELDS_BYTES

REQUEST_HEAD_TIMEOUT_SECONDS: Final = 20.0
STALLED_RESPONSE_TIMEOUT_SECONDS: Final = 120.0
"""For a client to take all that is buffered for it, some 300 KiB: a player that was paused goes on with a range request."""
FIRST_REQUEST_TIMEOUT_SECONDS: Final = 1.0
"""For the first request on a connection that was accepted just before this process began to end."""
BODY_LENGTHS: Final = frozenset({b"content-length", b"transfer-encoding"})
MAX_UNPARSED_BYTES: Final = 64 * 1024
"""That end no head and belong to no body, beside as many as the body has: chunks average five bytes."""
MAX_UNNEEDED_BODY_BYTES: Final = FIELDS_BYTES
"""That are read after the response, so that a client that sends all before it reads gets to it."""
MAX_PIPELINED_REQUESTS: Final = 32
"""That wait for the response to one before them; uvicorn itself reads on with each response."""


class HttpConnection(HttpToolsProtocol):
    """One connection. uvicorn itself waits without limit for a head, an unneeded body, and a client that reads no response.

    Every byte counts: as part of a head or a body, which http_layer.py limits, or against MAX_UNPARSED_BYTES.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_timeout: asyncio.TimerHandle | None = None
        self._stall_timeout: asyncio.TimerHandle | None = None
        self._unparsed_bytes = 0
        self._unparsed_semicolons = 0
        self._answering: RequestResponseCycle | None = None
        self._unneeded_body_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # pause_writing is called for any byte that waits
        self._start_head_timer()

    def data_received(self, data: bytes) -> None:
        """Receive bytes; a partial head does not restart the timer. uvicorn itself would log what is wrong with them."""
        self._unparsed_bytes += len(data)
        self._unparsed_semicolons += data.count(b";")
        self._unset_keepalive_if_required()
        assert self.parser is not None  # noqa: S101 - until the connection is lost
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:  # which is answered as plain HTTP
            pass
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")
        if self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            self._stop_head_timer()
        elif self._head_timeout is None:
            self._start_head_timer()
        if self._unparsed_bytes > MAX_UNPARSED_BYTES:
            self.send_400_response(
                f"The request has {MAX_UNPARSED_BYTES} bytes that end no head and are no body."
            )
        elif self._is_past_head and self._unparsed_semicolons:  # the parser itself passes over extensions
            self.send_400_response("A chunk of the request's body has an extension.")

    def on_url(self, url: bytes) -> None:
        self._unparsed_semicolons -= url.count(b";")
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Read a header; the parser takes trailers for headers."""
        if self._is_past_head:
            raise httptools.HttpParserError
        self._unparsed_semicolons -= value.count(b";")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """A head has ended; the parser itself does not ask for the one Host that HTTP/1.1 demands."""
        self._unparsed_bytes = self._unneeded_body_bytes = 0
        assert self.parser is not None  # noqa: S101 - it is the parser that calls this
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (not hosts and self.parser.get_http_version() == "1.1"):
            raise httptools.HttpParserError
        has_body = any(name in BODY_LENGTHS and value != b"0" for name, value in self.headers)
        if self.parser.should_upgrade() and has_body:  # the parser takes such a body for the next request
            raise httptools.HttpParserError
        if len(self.pipeline) == MAX_PIPELINED_REQUESTS:
            raise httptools.HttpParserError
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unparsed_bytes = max(0, self._unparsed_bytes - 2 * len(body))
        self._unparsed_semicolons -= body.count(b";")
        super().on_body(body)
        if self.cycle.response_complete:
            self._unneeded_body_bytes += len(body)
            if self._unneeded_body_bytes > MAX_UNNEEDED_BODY_BYTES:
                self.transport.close()

    @property
    def _is_past_head(self) -> bool:
        """Whether the last head that began has ended."""
        return self.cycle is not None and self.cycle.scope is self.scope

    def pause_writing(self) -> None:
        """Limit how long the client may let the response wait; closing instead would wait for it too."""
        super().pause_writing()
        self._stall_timeout = self.loop.call_later(STALLED_RESPONSE_TIMEOUT_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        if self._stall_timeout is not None:
            self._stall_timeout.cancel()
        super().resume_writing()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._answering = cycle
        super()._start_asgi_task(cycle, app)

    def connection_lost(self, exc: Exception | None) -> None:
        """End the response under way; uvicorn itself tells only the newest request, which may still wait for it."""
        self._stop_head_timer()
        if self._stall_timeout is not None:
            self._stall_timeout.cancel()
        if self._answering is not None:
            self._answering.disconnected = True
            self._answering.message_event.set()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """End after the response under way. uvicorn would close a connection whose first request is still to arrive."""
        if self.cycle is None:
            self.loop.call_later(FIRST_REQUEST_TIMEOUT_SECONDS, super().shutdown)
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        response = error_response(400, "bad_request", msg, {**EVERYWHERE, "Connection": "close"})
        head = b"".join(b"%s: %s\r\n" % header for header in response.raw_headers)
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n%s\r\n%s" % (head, bytes(response.body)))
        self.transport.close()

    def _start_head_timer(self) -> None:
        self._head_timeout = self.loop.call_later(
            REQUEST_HEAD_TIMEOUT_SECONDS, self.timeout_keep_alive_handler
        )

    def _stop_head_timer(self) -> None:
        if self._head_timeout is not None:
            self._head_timeout.cancel()
            self._head_timeout = None
