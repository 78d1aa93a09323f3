"""A TCP proxy that a bench commands, in a process of its own so that it shares no event loop with the bench."""

import asyncio
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Protocol, Self

from devpds.ports import free_port
from devpds.process import Process

LOOPBACK: Final = "127.0.0.1"
CHUNK_BYTES: Final = 65_536
DONE: Final = b"done\n"


class ControlledProxy:
    """The proxy of `module` from `port` to `upstream`; each command is a line, `first` the one that it starts with."""

    def __init__(self, module: str, port: int, upstream: int, log: Path, *, first: str) -> None:
        self._first = first
        self._control = free_port()
        ports = [str(number) for number in (port, upstream, self._control)]
        self._process = Process([sys.executable, "-m", module, *ports], log=log)

    def command(self, line: str) -> None:
        """Return once the proxy follows the command."""
        with socket.create_connection((LOOPBACK, self._control), timeout=10) as control:
            control.sendall(f"{line}\n".encode())
            if control.recv(len(DONE)) != DONE:
                raise ConnectionError(f"the proxy did not follow {line!r}")

    def _answers(self) -> bool:
        try:
            self.command(self._first)
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


class Proxy(Protocol):
    """What runs in the proxy's process."""

    def follow(self, line: str) -> None:
        """Follow a command."""

    async def proxy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""


def serve(make: Callable[[int], Proxy]) -> None:
    """Run the proxy that `make` makes for an upstream port; the ports are this process's arguments."""
    port, upstream, control = map(int, sys.argv[1:])
    asyncio.run(_serve(make(upstream), port, control))


async def _serve(proxy: Proxy, port: int, control: int) -> None:
    async def command(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        proxy.follow((await reader.readline()).decode().strip())
        writer.write(DONE)
        writer.close()

    server = await asyncio.start_server(proxy.proxy, LOOPBACK, port)
    async with server, await asyncio.start_server(command, LOOPBACK, control):
        await server.serve_forever()
