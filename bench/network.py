"""A network that delays requests to a PDS."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from bench.controlled_proxy import CHUNK_BYTES, LOOPBACK, ControlledProxy, serve


class SlowNetwork(ControlledProxy):
    """A proxy from `port` to `upstream`: requests arrive after the delay, responses at once."""

    def __init__(self, port: int, upstream: int, log: Path) -> None:
        super().__init__("bench.network", port, upstream, log, first="0")

    def delay(self, seconds: float) -> None:
        """Set the delay of everything sent from now on."""
        self.command(str(seconds))


class _Proxy:
    """The proxy's process."""

    def __init__(self, upstream: int) -> None:
        self._upstream = upstream
        self._seconds = 0.0

    def follow(self, line: str) -> None:
        """Set a new delay."""
        self._seconds = float(line)

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
    while chunk := await reader.read(CHUNK_BYTES):
        if (wait := seconds()) > 0:
            loop.call_later(wait, writer.write, chunk)
        else:
            writer.write(chunk)
    await asyncio.sleep(seconds())
    writer.write_eof()


if __name__ == "__main__":
    serve(_Proxy)
