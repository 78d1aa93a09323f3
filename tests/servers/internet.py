"""An internet of our own, with public names and addresses: DNS, TLS and nothing of the machine around it.

`python -m tests.servers.internet MODULE ARGUMENTS` runs a module in it. The network and mount namespaces are the
process's own, so nothing of the machine changes, and nothing can leave.
"""

import asyncio
import contextlib
import fcntl
import runpy
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Coroutine, Generator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from tests.faults.exchange import Head
from tests.servers.certificates import Certificates

ADDRESS = "192.175.48.7"
"""Public to every judge of addresses; to the world outside it is a sink (RFC 7535)."""
UNSHARE = ("unshare", "--user", "--map-root-user", "--net", "--mount", "--fork", "--kill-child")
SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCSIFADDR = 0x8913, 0x8914, 0x8916
IFF_UP = 1
PIECE = 64 * 1024
T = TypeVar("T")


def available() -> bool:
    """Whether this machine lets anybody have namespaces."""
    check = "import socket; from tests.servers.internet import bring_up; bring_up(); socket.socket().bind(('127.0.0.1', 443))"
    with contextlib.suppress(OSError):
        return (
            subprocess.run(
                [*UNSHARE, sys.executable, "-c", check], capture_output=True, check=False
            ).returncode
            == 0
        )
    return False


def command(module: str, *args: str) -> list[str]:
    """Give the command that runs a module in there."""
    return [*UNSHARE, sys.executable, "-m", "tests.servers.internet", module, *args]


def bring_up() -> None:
    """Give the namespace its loopback, and the public address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        flags = struct.pack("16sH14x", b"lo", 0)
        (now,) = struct.unpack("16xH14x", fcntl.ioctl(control, SIOCGIFFLAGS, flags))
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", now | IFF_UP))
        address = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(ADDRESS))
        fcntl.ioctl(control, SIOCSIFADDR, struct.pack("16s16s", b"lo:0", address))


def ask_our_dns() -> None:
    """Let every resolver in here ask 127.0.0.1."""
    with tempfile.NamedTemporaryFile("w", delete=False) as file:
        file.write("nameserver 127.0.0.1\n")
    Path(file.name).chmod(0o644)
    subprocess.run(["mount", "--bind", file.name, "/etc/resolv.conf"], check=True)  # noqa: S607


class Internet:
    """DNS that knows the zones, and TLS at their address; `sites` gives each host's port, found by its ending."""

    def __init__(self, sites: Mapping[str, int], folder: Path) -> None:
        self.sites = sites
        self.certificates = Certificates(folder, [name for site in sites for name in (site, f"*.{site}")])
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="internet", daemon=True)

    @contextlib.contextmanager
    def up(self) -> Generator[None]:
        """Be there as long as the block."""
        self._thread.start()
        self._call(self._start())
        try:
            yield
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def _port(self, host: str) -> int | None:
        return next((port for site, port in self.sites.items() if f".{host}".endswith(f".{site}")), None)

    async def _start(self) -> None:
        names = _Names(lambda host: self._port(host) is not None)
        await self._loop.create_datagram_endpoint(lambda: names, local_addr=("127.0.0.1", 53))
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(self.certificates.chain, self.certificates.key)
        await asyncio.start_server(self._serve, ADDRESS, 443, ssl=context)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = Head.parse(await reader.readuntil(b"\r\n\r\n"))
            port = self._port(head.header("host"))
            assert port is not None, head
            forwarded = (("x-forwarded-proto", "https"), ("x-forwarded-for", ADDRESS))
            there = await asyncio.open_connection("127.0.0.1", port)
            there[1].write(Head(head.method, head.target, (*head.headers, *forwarded)).to_send())
            up = asyncio.create_task(_pass_on(reader, there[1]))
            await _pass_on(there[0], writer)
            up.cancel()
            there[1].close()
        writer.close()


class _Names(asyncio.DatagramProtocol):
    def __init__(self, knows: Any) -> None:
        self._knows = knows

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        asked = dns.message.from_wire(data)
        answer = dns.message.make_response(asked)
        answer.flags |= dns.flags.RA
        (question,) = asked.question
        host = question.name.to_text(omit_final_dot=True).lower()
        if host.startswith("_") or not self._knows(host):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        elif question.rdtype == dns.rdatatype.A:
            answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", "A", ADDRESS))
        self._transport.sendto(answer.to_wire(), addr)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(PIECE):
            writer.write(piece)
            await writer.drain()


if __name__ == "__main__":
    bring_up()
    ask_our_dns()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
