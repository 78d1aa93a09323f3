"""A TCP proxy that delays requests, in a process of its own so that it shares no event loop with the bench."""

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
    """A proxy from `port` to `upstream`: requests arrive after the delay, responses at once."""

    def __init__(self, port: int, upstream: int, log: Path) -> None:
        self._control = free_port()
        ports = [str(number) for number in (port, upstream, self._control)]
        self._process = Process([sys.executable, "-m", "bench.network", *ports], log=log)

    def delay(self, seconds: float) -> None:
        """Set the delay of everything sent from now on."""
        with socket.create_connection((LOOPBACK, self._control), timeout=10) as control:
            control.sendall(f"{seconds}\n".encode())
            if control.recv(len(DONE)) != DONE:
                raise ConnectionError("the proxy did not set the delay")

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
    """The proxy's process."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._seconds = 0.0

    async def control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read and set a new delay."""
        self._seconds = float(await reader.readline())
        writer.write(DONE)
        writer.close()

    async def proxy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(LOOPBACK, self._upstream)
        await asyncio.gather(
            _forward(reader, back, lambda: self._seconds),
            _forward(there, writer, lambda: 0.0),
            return_exceptions=True,
        )
        for end in (writer, back):
            end.close()


async def _forward(
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
    server = await asyncio.start_server(proxy.proxy, LOOPBACK, port)
    async with server, await asyncio.start_server(proxy.control, LOOPBACK, control):
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(*map(int, sys.argv[1:])))
