"""One request on its way to the PDS, and what a fault may do with it."""

import asyncio
import contextlib
import json
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

PIECE = 64 * 1024
LINGER_SECONDS = 30.0
RESET = struct.pack(
    "ii", 1, 0
)  # SO_LINGER on, 0 s: close() becomes a reset, and what was not sent is dropped


@dataclass
class Passage:
    """What is remembered of a request."""

    method: str
    nsid: str
    json: Any = None
    at: float = field(default_factory=time.monotonic)
    status: int | None = None
    """What the PDS answered; None as long as it was not asked."""
    fault: str = "pass"
    authorization: str = ""

    @property
    def name(self) -> str:
        """The last word of the NSID."""
        return self.nsid.rsplit(".", 1)[-1]


@dataclass(frozen=True)
class Head:
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, data: bytes) -> "Head":
        first, *lines = data.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        method, target, _version = first.split(" ")
        headers = (line.split(":", 1) for line in lines)
        return cls(method, target, tuple((name.lower(), value.strip()) for name, value in headers))

    def header(self, name: str) -> str:
        """A header's value, or an empty text."""
        return dict(self.headers).get(name, "")

    @property
    def nsid(self) -> str:
        """The XRPC method; for any other path, the path."""
        return urlsplit(self.target).path.removeprefix("/xrpc/")

    @property
    def length(self) -> int:
        return int(self.header("content-length") or 0)

    def to_send(self) -> bytes:
        """Write it for the PDS: one request a connection, so that the end of an answer is the end of the stream."""
        kept = [(name, value) for name, value in self.headers if name not in {"connection", "keep-alive"}]
        lines = [f"{name}: {value}" for name, value in [*kept, ("connection", "close")]]
        return "\r\n".join([f"{self.method} {self.target} HTTP/1.1", *lines, "", ""]).encode("latin-1")


class Exchange:
    """A request that came in. Only small JSON bodies are read before a fault decides; others stream through."""

    def __init__(
        self, head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, upstream: int
    ) -> None:
        self.head = head
        self.passage = Passage(head.method, head.nsid, authorization=head.header("authorization"))
        self._reader, self._writer, self._upstream = reader, writer, upstream
        self._body: bytes | None = None

    async def read_json(self) -> None:
        if "json" in self.head.header("content-type"):
            body = await self.read_body()
            self.passage.json = json.loads(body) if body else None

    async def read_body(self) -> bytes:
        """Read the whole body, to be sent more than once or later."""
        if self._body is None:
            self._body = await self._reader.readexactly(self.head.length)
        return self._body

    async def pass_on(self) -> None:
        await self._forward(self._writer)
        await self._end()

    async def apply(self) -> None:
        """Let the PDS do it, and throw its answer away."""
        await self.read_body()
        await self._forward(None)

    async def answer(self, status: int, body: Any, headers: dict[str, str]) -> None:
        """Answer in place of the PDS, which receives nothing."""
        content = json.dumps(body).encode()
        lines = {"content-type": "application/json", "content-length": len(content), "connection": "close"}
        head = "".join(f"{name}: {value}\r\n" for name, value in {**lines, **headers}.items())
        await self.read_body()
        self._writer.write(f"HTTP/1.1 {status} Fault\r\n{head}\r\n".encode() + content)
        await self._end()

    def reset(self) -> None:
        """Break the connection to the client, as a crash of what lies between would."""
        connection: socket.socket = self._writer.get_extra_info("socket")
        if not self._writer.is_closing():
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        self._writer.transport.abort()

    async def client_gone(self) -> None:
        while await self._reader.read(PIECE):
            pass

    async def _end(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()

    async def _forward(self, to: asyncio.StreamWriter | None) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._upstream)
        try:
            writer.write(self.head.to_send())
            sending = asyncio.create_task(self._send_body(writer))
            first = await reader.readuntil(b"\r\n")
            self.passage.status = int(first.split(b" ")[1])
            piece = first
            while piece:
                if to is not None:
                    to.write(piece)
                    await to.drain()
                piece = await reader.read(PIECE)
            # An answer may come before the body is through, as a 413 does: a close now would reset it away.
            await asyncio.wait({sending}, timeout=LINGER_SECONDS)
            sending.cancel()
        finally:
            writer.close()

    async def _send_body(self, writer: asyncio.StreamWriter) -> None:
        if self._body is not None:
            writer.write(self._body)
            await writer.drain()
            return
        left = self.head.length
        while left:
            piece = await self._reader.read(min(PIECE, left))
            if not piece:
                writer.transport.abort()
                return
            left -= len(piece)
            if not writer.is_closing():
                writer.write(piece)
                with contextlib.suppress(ConnectionError):
                    await writer.drain()
