"""Hosts whose firehoses flood, in a process of their own, so that what this one uses is what listening to them costs."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Final

from websockets.utils import accept_key

from tests.dsl import ALICE
from tests.outbox.rigs.stream_host import CID, commit, frame


def sent(message: bytes) -> bytes:
    """The message as a WebSocket frame."""
    return b"\x82\x7f" + len(message).to_bytes(8) + message


FLOODS: Final[dict[str, Callable[[int], bytes]]] = {
    "values": lambda _: sent(frame("#identity", seq=1, did=ALICE, junk=[[]] * 3900)) * 20,
    "too many values": lambda _: sent(frame("#identity", seq=1, did=ALICE, junk=[[]] * 19_900)) * 5,
    "bytes": lambda _: sent(frame("#commit", seq=1, repo=ALICE, blocks=bytes(4_900_000))),
    "tiny messages": lambda _: b"\x82\x00" * 100_000,
    "pings": lambda _: b"\x89\x00" * 100_000,
    "one message of tiny parts": lambda _: b"\x02\x00" + b"\x00\x00" * 1_000_000,
    "one record of ours": lambda number: (
        sent(commit(1, f"did:plc:{number}", "3k", *[(f"c/{number}", CID)] * 200)) * 20
    ),
    "likes of others": lambda _: (
        sent(commit(1, ALICE, "3k", *[(f"fm.plyr.like/{n}", CID if n % 2 else None) for n in range(200)]))
        * 20
    ),
    "an account of ours": lambda number: sent(frame("#sync", seq=1, did=f"did:plc:{number}")) * 1000,
}
"""What a host sends, given the number of the account of ours there, and of its record."""
FIRST_NUMBER: Final = 100


@contextmanager
def flooding_hosts(kind: str, count: int) -> Generator[list[str]]:
    """Their addresses; each accepts WebSockets, and sends the flood of this kind, without end."""
    command = [sys.executable, "-m", __spec__.name, kind, str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield [f"http://127.0.0.1:{port}" for port in process.stdout.readline().split()]
        finally:
            process.kill()


async def _flood(frames: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
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


async def _serve(kind: str, count: int) -> None:
    floods = [FLOODS[kind](FIRST_NUMBER + index) for index in range(count)]
    servers = [await asyncio.start_server(partial(_flood, each), "127.0.0.1", 0) for each in floods]
    sys.stdout.write(" ".join(str(each.sockets[0].getsockname()[1]) for each in servers) + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], int(sys.argv[2])))
