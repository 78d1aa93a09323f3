"""A host that misbehaves on request: a proxy before a PDS."""

import asyncio
import base64
import hashlib
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

from libipld import encode_dag_cbor

from bench.controlled_proxy import CHUNK_BYTES, LOOPBACK, ControlledProxy, serve

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

HUGE_BYTES: Final = 15_000_000
TRICKLE_INTERVAL_SECONDS: Final = 0.2
JUDGED: Final = (b"putRecord", b"getRecord", b"listRecords", b"listBlobs", b"getLatestCommit")
"""The methods that meet the misbehaviour; sign-ins and refreshes pass, so that the accounts stay signed in."""
STREAM: Final = b"subscribeRepos"
STREAM_KEY: Final = b"sec-websocket-key:"
WEBSOCKET_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
FLOOD_VALUES: Final = 19_900


class Behaviour(StrEnum):
    """What the host does with a judged request."""

    CALM = "calm"
    HANGING = "hanging"
    HUGE = "huge"
    TRICKLING = "trickling"
    FLOODING = "flooding"
    """Its firehose sends as fast as it is read."""


class HostileHost(ControlledProxy):
    """A proxy from `port` to `upstream`."""

    def __init__(self, port: int, upstream: int, log: Path) -> None:
        super().__init__("bench.hostile_host", port, upstream, log, first=Behaviour.CALM)

    def become(self, behaviour: Behaviour) -> None:
        """Behave so from now on, and break all connections."""
        self.command(behaviour)


class _Proxy:
    """The proxy's process."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._misbehave: Callable[[asyncio.StreamWriter], Awaitable[None]] | None = None
        self._floods = False
        self._open: set[asyncio.StreamWriter] = set()

    def follow(self, line: str) -> None:
        """Set a new behaviour."""
        self._misbehave = {
            Behaviour.CALM: None,
            Behaviour.HANGING: _hang,
            Behaviour.HUGE: _send_huge,
            Behaviour.TRICKLING: _trickle,
            Behaviour.FLOODING: None,
        }[Behaviour(line)]
        self._floods = Behaviour(line) is Behaviour.FLOODING
        for connection in self._open:
            connection.transport.abort()

    async def proxy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Judge the only request of a connection."""
        self._open.add(writer)
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if STREAM in head and self._floods:
                await _flood(head, writer)
            elif self._misbehave is not None and any(method in head for method in JUDGED):
                await self._misbehave(writer)
            else:
                await self._pass_on(head, reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._open.discard(writer)
            writer.close()

    async def _pass_on(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(LOOPBACK, self._upstream)
        first, _, rest = head.partition(b"\r\n")
        kept = [line for line in rest.split(b"\r\n") if not line.lower().startswith(b"connection:")]
        connection = b"connection: upgrade" if STREAM in head else b"connection: close"
        back.write(b"\r\n".join([first, connection, *kept]))
        sending = asyncio.create_task(_forward(reader, back))
        try:
            await _forward(there, writer)
        finally:
            sending.cancel()
            back.close()


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()


async def _hang(_: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def _send_huge(writer: asyncio.StreamWriter) -> None:
    body = b'{"records":[' + b'{"a":[1,2]},' * (HUGE_BYTES // 12) + b"0]}"
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    writer.write(head.encode() + body)
    await writer.drain()


async def _trickle(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 10000\r\n\r\n{")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(TRICKLE_INTERVAL_SECONDS)


async def _flood(head: bytes, writer: asyncio.StreamWriter) -> None:
    """Send legal frames of very many values, about an account that the reader does not know."""
    (key,) = (line for line in head.split(b"\r\n") if line.lower().startswith(STREAM_KEY))
    digest = hashlib.sha1(key[len(STREAM_KEY) :].strip() + WEBSOCKET_GUID, usedforsecurity=False).digest()
    accept = base64.b64encode(digest)
    upgrade = b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    writer.write(upgrade + b"sec-websocket-accept: " + accept + b"\r\n\r\n")
    body = {"seq": 1, "did": "did:plc:another", "junk": [[] for _ in range(FLOOD_VALUES)]}
    message = encode_dag_cbor({"op": 1, "t": "#identity"}) + encode_dag_cbor(body)
    while True:
        writer.write(b"\x82\x7e" + len(message).to_bytes(2) + message)
        await writer.drain()


if __name__ == "__main__":
    serve(_Proxy)
