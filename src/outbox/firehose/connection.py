"""The WebSocket to a host, which goes only to a checked address, and of which a little is read in each turn.

What the host sends in between waits in TCP: frames without end, however small, cost no more than their turns.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import cache
from threading import Lock
from typing import Final, ParamSpec, TypeVar
from urllib.parse import urlencode

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from eventstore.coordination.threads import Threads
from outbox.ports import Addresses

P = ParamSpec("P")
T = TypeVar("T")

MAX_SHARE: Final = 0.2
"""Of the event loop's time, and of that which the database takes: 20 to 50 microseconds a message, so that it is enough for the whole network's."""
TURN_SECONDS: Final = 0.0001
"""What a turn takes beside the work in it."""
MAX_SAVED_SECONDS: Final = 0.1
"""Time whose share may be used later, so that a timer's delay loses none of it."""
MAX_WAIT_SECONDS: Final = 5.0
"""A database that hangs for a while does not silence the streams for long after."""
MAX_THREADS: Final = 2
"""For the database, so that no delivery waits for what a host sends."""


class Share:
    """Counts the time that streams use, and grants turns while it is within their share."""

    def __init__(self) -> None:
        self._threads: Final = Threads("firehose", MAX_THREADS)
        self._turns: Final = asyncio.Lock()
        self._counting: Final = Lock()
        self._free_at = 0.0

    async def turn(self) -> None:
        """Wait behind the streams that came first, until what was used is paid for; then use a few milliseconds."""
        async with self._turns:
            await asyncio.sleep(self._free_at - time.monotonic())  # other work goes on even if that is over
            self._count(TURN_SECONDS)

    @contextmanager
    def used(self) -> Generator[None]:
        """Count the time of the block, which does not give the loop away or is in a thread."""
        begun = time.monotonic()
        try:
            yield
        finally:
            self._count(time.monotonic() - begun)

    def _count(self, seconds: float) -> None:
        now = time.monotonic()
        with self._counting:
            free_at = max(self._free_at, now - MAX_SAVED_SECONDS) + seconds / MAX_SHARE
            self._free_at = min(free_at, now + MAX_WAIT_SECONDS)

    async def in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do database work of a stream, and count it."""

        def counted() -> T:
            with self.used():
                return work(*args, **kwargs)

        return await self._threads.run(counted)


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
        messages = []
        with self.share.used():
            if data:
                self.protocol.receive_data(data)
            else:
                self.protocol.receive_eof()
            self._send()
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
