"""A PDS that answers what no honest one would, over real connections, and counts how much of it is read."""

import asyncio
import gc
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import repeat

MB = 2**20
CHUNK = b"[],[],[]," * 7000
MAX_STALL_SECONDS = 0.5
"""Of CPU: far more than the 50 ms that the limits are made for; parsed, 15 MB took 3.5 s."""


@dataclass(frozen=True)
class Answer:
    """Status, headers and body; without a length the body ends with the connection."""

    body: bytes | Iterable[bytes]
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None

    @property
    def chunks(self) -> Iterable[bytes]:
        return [self.body] if isinstance(self.body, bytes) else self.body


def endless(beginning: bytes, status: int = 200) -> Answer:
    """An answer that begins like this and never ends."""

    def chunks() -> Iterable[bytes]:
        yield beginning
        yield from repeat(CHUNK)

    return Answer(chunks(), status)


@dataclass
class HostilePds:
    """Gives every request the same answer; `sent` bytes of it were accepted by the connections."""

    answer: Answer
    url: str = ""
    requests: int = 0
    sent: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            length = next(
                (line.split(":")[1] for line in head.splitlines() if "content-length:" in line), "0"
            )
            await reader.readexactly(int(length))
            self.requests += 1
            await self._answer(writer)
        writer.close()

    async def _answer(self, writer: asyncio.StreamWriter) -> None:
        answer = self.answer
        length = {} if answer.length is None else {"content-length": str(answer.length)}
        lines = [f"{name}: {value}\r\n" for name, value in {**answer.headers, **length}.items()]
        writer.write(f"HTTP/1.1 {answer.status} X\r\nconnection: close\r\n{''.join(lines)}\r\n".encode())
        for chunk in answer.chunks:
            writer.write(chunk)
            await writer.drain()
            self.sent += len(chunk)


@asynccontextmanager
async def hostile_pds(answer: Answer) -> AsyncGenerator[HostilePds]:
    pds = HostilePds(answer)
    server = await asyncio.start_server(pds.serve, "127.0.0.1", 0)
    pds.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield pds


class Stall:
    """For how many seconds of the process's CPU the event loop was kept from other work at most."""

    def __init__(self) -> None:
        self.longest = 0.0


@asynccontextmanager
async def watched_loop() -> AsyncIterator[Stall]:
    """Measure the most work between two turns of another task, in any thread: what the machine does besides does not count."""
    stall, clock = Stall(), time.process_time

    async def tick() -> None:
        while True:
            before = clock()
            await asyncio.sleep(0)
            stall.longest = max(stall.longest, clock() - before)

    ticking = asyncio.create_task(tick())
    gc.disable()  # a collection looks through what all tests before have left
    try:
        await asyncio.sleep(0)
        yield stall
        await asyncio.sleep(0)
    finally:
        gc.enable()
        ticking.cancel()


def many(value: bytes, size: int) -> bytes:
    """A JSON list of that value, of so many bytes."""
    return b"[" + b",".join([value] * (size // (len(value) + 1))) + b"]"
