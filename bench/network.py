"""A slow network before a server: a TCP proxy in a process of its own, so that it takes nobody's turn."""

import asyncio
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from devpds.process import Process
from devpds.server import free_port

LOOPBACK: Final = "127.0.0.1"
CHUNK: Final = 65_536
DONE: Final = b"done\n"


class SlowNetwork:
    """Listens at `port`; what goes to the server arrives later by the delay, what comes back does so at once."""

    def __init__(self, port: int, upstream: int, log: Path) -> None:
        self._control = free_port()
        ports = [str(number) for number in (port, upstream, self._control)]
        self._process = Process([sys.executable, "-m", "bench.network", *ports], log=log)

    def delay(self, seconds: float) -> None:
        """Let everything that comes from now on take so long."""
        with socket.create_connection((LOOPBACK, self._control), timeout=10) as control:
            control.sendall(f"{seconds}\n".encode())
            if control.recv(len(DONE)) != DONE:
                raise ConnectionError("the slow network did not take the delay")

    def _answers(self) -> bool:
        try:
            self.delay(0)
        except OSError:
            return False
        return True

    def __enter__(self) -> Self:
        self._process.start(self._answers)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.stop()


class _Proxy:
    """What the process does."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._seconds = 0.0

    async def control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take a new delay."""
        self._seconds = float(await reader.readline())
        writer.write(DONE)
        writer.close()

    async def passing(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Carry one connection."""
        there, back = await asyncio.open_connection(LOOPBACK, self._upstream)
        await asyncio.gather(
            _carry(reader, back, lambda: self._seconds),
            _carry(there, writer, lambda: 0.0),
            return_exceptions=True,
        )
        for end in (writer, back):
            end.close()


async def _carry(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: Callable[[], float]
) -> None:
    loop = asyncio.get_running_loop()
    while chunk := await reader.read(CHUNK):
        if (wait := seconds()) > 0:
            loop.call_later(wait, writer.write, chunk)
        else:
            writer.write(chunk)
    await asyncio.sleep(seconds())
    writer.write_eof()


async def _serve(port: int, upstream: int, control: int) -> None:
    proxy = _Proxy(upstream)
    passing = await asyncio.start_server(proxy.passing, LOOPBACK, port)
    async with passing, await asyncio.start_server(proxy.control, LOOPBACK, control):
        await passing.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(*map(int, sys.argv[1:])))
