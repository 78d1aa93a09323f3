"""A frame of a firehose is decoded in a few milliseconds, or skipped."""

import asyncio
from contextlib import suppress
from functools import partial

import libipld
import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.utils import accept_key

from outbox.firehose.frames import message_in, subscribed
from tests.dsl import ALICE, COLLECTION
from tests.neighbours.hostile_pds import (
    MAX_STALL_SECONDS,
    MB,
    watched_loop,
)
from tests.outbox.rigs.stream_host import CID as LINK
from tests.outbox.rigs.stream_host import commit, frame, stream_host

pytestmark = pytest.mark.anyio


class Loopback:
    """Every host is on this machine."""

    async def of(self, _origin: str) -> str:
        return "127.0.0.1"


async def test_a_frame_of_many_values_is_skipped_and_the_next_one_heard() -> None:
    head = bytes(libipld.encode_dag_cbor({"op": 1, "t": "#commit"}))
    size = 5 * MB - 100
    hostile = head + b"\x9a" + size.to_bytes(4) + b"\x80" * size
    async with stream_host() as host:
        honest = commit(2, ALICE, "3k", (f"{COLLECTION}/a", LINK))
        message_in(honest)  # the first message of a process imports the parser
        host.greets = [hostile, honest]
        async with subscribed(host.url, None, Loopback()) as stream, watched_loop() as stall:
            async with asyncio.timeout(20):
                heard = [await stream.next(10), await stream.next(10)]
    assert heard[0] is None
    assert heard[1] is not None
    assert (heard[1].seq, heard[1].did) == (2, ALICE)
    assert stall.longest < MAX_STALL_SECONDS


async def flood(frames: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Accept a WebSocket, and send these frames until it is closed."""
    head = await reader.readuntil(b"\r\n\r\n")
    [key] = [
        line[19:].strip() for line in head.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key: ")
    ]
    accepted = accept_key(key.decode())
    writer.write(
        b"HTTP/1.1 101 X\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        b"sec-websocket-accept: " + accepted.encode() + b"\r\n\r\n"
    )
    with suppress(ConnectionError):
        while not writer.is_closing():
            writer.write(frames)
            await writer.drain()
    writer.close()


async def listen(url: str) -> None:
    """Receive until the stream ends."""
    async with subscribed(url, None, Loopback()) as stream, asyncio.timeout(20):
        while True:
            await stream.next(10)


@pytest.mark.parametrize("tiny", [b"\x82\x00", b"\x89\x00"], ids=["messages", "pings"])
async def test_a_flood_of_tiny_frames_ends_the_stream(tiny: bytes) -> None:
    server = await asyncio.start_server(partial(flood, tiny * 200_000), "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, watched_loop() as stall:
        with pytest.raises(ConnectionClosedError):
            await listen(url)
    assert stall.longest < MAX_STALL_SECONDS


async def test_the_frames_of_an_honest_backlog_end_no_stream() -> None:
    messages = [frame("#identity", seq=seq, did=ALICE) for seq in range(10_000)]
    async with stream_host() as host:
        host.greets = messages
        async with subscribed(host.url, None, Loopback()) as stream, asyncio.timeout(20):
            heard = [await stream.next(10) for _ in messages]
    assert [message.seq for message in heard if message is not None] == list(range(10_000))
