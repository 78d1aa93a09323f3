"""The WebSocket to a host, which goes only to a checked address, and of which a little is read in each turn.

What the host sends in between waits in TCP: frames without end, however small, cost no more than their turns.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Final
from urllib.parse import urlencode

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from outbox.firehose.share import Share
from outbox.ports import Addresses

MAX_MESSAGE_BYTES: Final = 5 * 1024 * 1024
"""The protocol's limit."""
READ_BYTES: Final = 4 * 1024
"""Of a turn: 2,000 of the smallest frames take eight milliseconds."""
OPEN_TIMEOUT_SECONDS: Final = 15.0
MAX_SILENCE_SECONDS: Final = 60.0
"""A host that does not even answer pings for so long is gone."""
PARTS_OF_MESSAGES: Final = (Opcode.BINARY, Opcode.TEXT, Opcode.CONT)


@dataclass
class Connection:
    """An open connection to a host; `begun` is the message whose end is still to come."""

    protocol: ClientProtocol
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    share: Share
    heard_at: float
    begun: bytearray = field(default_factory=bytearray)

    async def read(self, seconds: float) -> list[bytes]:
        """Return the next messages: none if no message ends in this turn, or nothing comes in time. Raises OSError."""
        if self.protocol.state is not State.OPEN:
            raise ConnectionError(f"the host closed the stream: {self.protocol.close_rcvd}")
        await self.share.turn()
        try:
            async with asyncio.timeout(seconds):
                await self.writer.drain()  # a host that takes no pongs is not sent more of them
                data = await self.reader.read(READ_BYTES)
        except TimeoutError:
            if time.monotonic() - self.heard_at > MAX_SILENCE_SECONDS:
                raise
            self.protocol.send_ping(b"")
            self._send()
            return []
        self.heard_at = time.monotonic()
        with self.share.used():
            return self._received(data)

    def _received(self, data: bytes) -> list[bytes]:
        if data:
            self.protocol.receive_data(data)
        else:
            self.protocol.receive_eof()
        self._send()
        messages = []
        for event in self.protocol.events_received():
            if isinstance(event, Frame) and event.opcode in PARTS_OF_MESSAGES:
                self.begun += event.data
                if event.fin:
                    messages.append(bytes(self.begun))
                    self.begun.clear()
        return messages

    def _send(self) -> None:
        self.writer.write(b"".join(self.protocol.data_to_send()))


@asynccontextmanager
async def subscribed(
    host: str, cursor: int | None, addresses: Addresses, share: Share
) -> AsyncGenerator[Connection]:
    """Subscribe to a host from after `cursor`; without one, from the newest message."""
    query = f"?{urlencode({'cursor': cursor})}" if cursor is not None else ""
    uri = parse_uri(f"{host.replace('http', 'ws', 1)}/xrpc/com.atproto.sync.subscribeRepos{query}")
    # no extensions: with compression, a few bytes could expand to many before the size check
    protocol = ClientProtocol(uri, max_size=MAX_MESSAGE_BYTES)
    request = protocol.connect()
    request.headers["User-Agent"] = "mastertape"
    protocol.send_request(request)
    async with asyncio.timeout(OPEN_TIMEOUT_SECONDS):
        # with a fixed address, a redirect cannot lead elsewhere
        reader, writer = await asyncio.open_connection(
            await addresses.of(host),
            uri.port,
            ssl=_tls() if uri.secure else None,
            server_hostname=uri.host if uri.secure else None,
        )
    try:
        async with asyncio.timeout(OPEN_TIMEOUT_SECONDS):
            writer.writelines(protocol.data_to_send())
            head = await reader.readuntil(b"\r\n\r\n")
        protocol.receive_data(head)
        if protocol.state is not State.OPEN:
            raise ConnectionError(f"no WebSocket: {head.splitlines()[0]!r}")
        protocol.events_received()
        yield Connection(protocol, reader, writer, share, time.monotonic())
    finally:
        writer.transport.abort()


@cache
def _tls() -> ssl.SSLContext:
    """Reading the trusted certificates takes as long as a thousand messages."""
    return ssl.create_default_context()
