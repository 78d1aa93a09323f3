"""An internet of our own, with public names and addresses: DNS, TLS and nothing of the machine around it.

`python -m tests.servers.internet MODULE ARGUMENTS` runs a module in it. The network and mount namespaces are the
process's own, so nothing of the machine changes, and nothing can leave.
"""

import asyncio
import contextlib
import fcntl
import runpy
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections.abc import Coroutine, Generator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from tests.servers.certificates import Authority
from tests.servers.site import Site

ADDRESSES = ("192.175.48.7", "192.175.48.8", "192.175.48.9")
"""Public to every check of addresses, but a sink on the real internet (RFC 7534)."""
UNSHARE = ("unshare", "--user", "--map-root-user", "--net", "--mount", "--fork", "--kill-child")
SIOCGIFFLAGS, SIOCSIFFLAGS, SIOCSIFADDR = 0x8913, 0x8914, 0x8916
IFF_UP = 1
T = TypeVar("T")


def available() -> bool:
    check = "import socket; from tests.servers.internet import bring_up; bring_up(); socket.create_server(('127.0.0.1', 443)).close()"
    with contextlib.suppress(OSError):
        return (
            subprocess.run(
                [*UNSHARE, sys.executable, "-c", check], capture_output=True, check=False
            ).returncode
            == 0
        )
    return False


def assert_ends_well(module: str, folder: Path) -> None:
    """Run a module with that folder, whose last words are to be that all is good."""
    command = [*UNSHARE, sys.executable, "-m", "tests.servers.internet", module, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=840, check=False)
    assert done.stdout.endswith("all good\n"), done.stdout + done.stderr


def bring_up() -> None:
    """Give the namespace its loopback, and the public addresses."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        flags = struct.pack("16sH14x", b"lo", 0)
        (now,) = struct.unpack("16xH14x", fcntl.ioctl(control, SIOCGIFFLAGS, flags))
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", now | IFF_UP))
        for number, address in enumerate(ADDRESSES):
            packed = struct.pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))
            fcntl.ioctl(control, SIOCSIFADDR, struct.pack("16s16s", b"lo:%d" % number, packed))


def ask_our_dns() -> None:
    """Make every resolver in the namespace ask 127.0.0.1."""
    with tempfile.NamedTemporaryFile("w", delete=False) as file:
        file.write("nameserver 127.0.0.1\n")
    Path(file.name).chmod(0o644)
    subprocess.run(["mount", "--bind", file.name, "/etc/resolv.conf"], check=True)  # noqa: S607


class Internet:
    """DNS that knows the sites, and TLS at an address of each; `ports` gives the port behind each name."""

    def __init__(self, ports: Mapping[str, int], folder: Path) -> None:
        self.authority = Authority(folder)
        self.sites = {
            name: Site(name, port, address, self.authority)
            for (name, port), address in zip(ports.items(), ADDRESSES, strict=False)
        }
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="internet", daemon=True)

    @contextlib.contextmanager
    def up(self) -> Generator[None]:
        self._thread.start()
        self.let(self._start())
        try:
            yield
        finally:
            self.let(self._end())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def let(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _start(self) -> None:
        names = _Names(list(self.sites.values()))
        self._dns, _ = await self._loop.create_datagram_endpoint(lambda: names, local_addr=("127.0.0.1", 53))
        for site in self.sites.values():
            await site.mends()

    async def _end(self) -> None:
        self._dns.close()
        for site in self.sites.values():
            await site.refuses()
        served = asyncio.all_tasks() - {asyncio.current_task()}
        for task in served:
            task.cancel()
        await asyncio.gather(*served, return_exceptions=True)


class _Names(asyncio.DatagramProtocol):
    def __init__(self, sites: Sequence[Site]) -> None:
        self._sites = sites

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        asked = dns.message.from_wire(data)
        (question,) = asked.question
        said = self._said(question.name.to_text(omit_final_dot=True).lower())
        if said is None:
            return
        answer = dns.message.make_response(asked)
        answer.flags |= dns.flags.RA
        if isinstance(said, dns.rcode.Rcode):
            answer.set_rcode(said)
        elif question.rdtype == dns.rdatatype.A:
            answer.answer.append(dns.rrset.from_text(question.name, 60, "IN", "A", said))
        self._transport.sendto(answer.to_wire(), addr)

    def _said(self, host: str) -> str | dns.rcode.Rcode | None:
        site = next((site for site in self._sites if site.covers(host)), None)
        return dns.rcode.NXDOMAIN if site is None or host.startswith("_") else site.dns


if __name__ == "__main__":
    bring_up()
    ask_our_dns()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
