"""One host of a test's internet: its DNS entries, and a TLS server at its own address. Each can be made to fail."""

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable

from dns.rcode import Rcode

from tests.faults.exchange import Head
from tests.servers.certificates import Authority, Certificate

PORT = 443
PIECE = 64 * 1024
SILENT = None
"""DNS does not respond."""
Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Site:
    """A TLS proxy before a port of this machine, for a name and all its subdomains."""

    def __init__(self, name: str, port: int, address: str, authority: Authority) -> None:
        self.name, self.port, self.address = name, port, address
        self.dns: str | Rcode | None = address
        self.heard: list[Head] = []
        """The requests that came through TLS."""
        self._own = authority.certificate(name, [name, f"*.{name}"])
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    def covers(self, host: str) -> bool:
        return f".{host}".endswith(f".{self.name}")

    async def mends(self) -> None:
        self.dns = self.address
        await self.shows(self._own)

    async def shows(self, certificate: Certificate) -> None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate.chain, certificate.key)
        await self._listen(self._serve, context)

    async def refuses(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._open:
            writer.transport.abort()
        self._open.clear()

    async def says(self, dns: str | Rcode | None) -> None:
        """Set the response of DNS: an address, an error, or none; close open connections."""
        await self.refuses()
        self.dns = dns

    async def _listen(self, connected: Connected, context: ssl.SSLContext | None = None) -> None:
        async def kept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            self._open.add(writer)
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await connected(reader, writer)
            self._open.discard(writer)
            writer.close()

        await self.refuses()
        self._server = await asyncio.start_server(kept, self.address, PORT, ssl=context)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = Head.parse(await reader.readuntil(b"\r\n\r\n"))
        self.heard.append(head)
        forwarded = (("x-forwarded-proto", "https"), ("x-forwarded-for", self.address))
        there = await asyncio.open_connection("127.0.0.1", self.port)
        there[1].write(Head(head.method, head.target, (*head.headers, *forwarded)).to_send())
        up = asyncio.create_task(_pass_on(reader, there[1]))
        try:
            await _pass_on(there[0], writer)
        finally:
            up.cancel()
            there[1].close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(PIECE):
            writer.write(piece)
            await writer.drain()
