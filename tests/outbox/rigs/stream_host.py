"""A firehose that sends the frames a test writes, over a WebSocket as a PDS does."""

import asyncio
from base64 import b32decode
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import libipld
from websockets.asyncio.server import Server, ServerConnection, serve

CID = "bafyreihffx5a2e7k5uwrmmgofbvzujc5cmw5h4espouwuxt3liqoflx3ee"


def frame(kind: str, **body: Any) -> bytes:
    said = {"time": datetime.now(UTC).isoformat(), **body}
    return bytes(libipld.encode_dag_cbor({"op": 1, "t": kind}) + libipld.encode_dag_cbor(said))


def error(name: str) -> bytes:
    return bytes(
        libipld.encode_dag_cbor({"op": -1}) + libipld.encode_dag_cbor({"error": name, "message": ""})
    )


def commit(seq: int, did: str, rev: str, *writes: tuple[str, str | None], **more: Any) -> bytes:
    ops = [
        {
            "action": "delete" if cid is None else "update",
            "path": path,
            "cid": None if cid is None else link(cid),
        }
        for path, cid in writes
    ]
    rest = {"blocks": b"", "blobs": [], "rebase": False, "tooBig": False, "since": None, **more}
    return frame("#commit", seq=seq, repo=did, rev=rev, ops=ops, commit=link(CID), **rest)


def link(cid: str) -> bytes:
    """The bytes of a CID, which the encoder makes a link of."""
    return b32decode(cid[1:].upper() + "=" * (-len(cid[1:]) % 8))


@dataclass
class StreamHost:
    """The host: a client gets `greets` first, then every frame sent after it connected."""

    server: Server | None = None
    cursors: list[str | None] = field(default_factory=list)
    sockets: list[ServerConnection] = field(default_factory=list)
    greets: list[bytes] = field(default_factory=list)
    """The frames that each client gets first."""

    @property
    def url(self) -> str:
        assert self.server is not None
        return f"http://localhost:{next(iter(self.server.sockets)).getsockname()[1]}"

    async def says(self, *frames: bytes) -> None:
        for each in frames:
            for socket in self.sockets:
                await socket.send(each)

    async def hangs_up(self) -> None:
        await asyncio.gather(*(socket.close() for socket in self.sockets))

    async def answer(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        query = parse_qs(urlsplit(socket.request.path).query)
        self.cursors.append(query["cursor"][0] if "cursor" in query else None)
        for each in self.greets:
            await socket.send(each)
        self.sockets.append(socket)
        await socket.wait_closed()
        self.sockets.remove(socket)


@asynccontextmanager
async def stream_host() -> AsyncGenerator[StreamHost]:
    host = StreamHost()
    async with serve(host.answer, "127.0.0.1", 0) as server:
        host.server = server
        yield host


class Loopback:
    """Every host is on this machine."""

    async def of(self, _origin: str) -> str:
        return "127.0.0.1"
