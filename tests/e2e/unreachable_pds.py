"""A PDS that cannot be reached, in each way that DNS and TLS fail: nothing is sent, no other host is delayed, all arrives later.

Run by test_unreachable_pds.py in an internet of its own: `python -m tests.servers.internet tests.e2e.unreachable_pds FOLDER`.
"""

import itertools
import sys
import time
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from dns.rcode import NXDOMAIN, SERVFAIL
from sqlalchemy import select

from demo.service import Service
from devpds.ports import free_port
from devpds.server import DevPlc
from eventstore.sql.database import Database
from outbox.mirror.hosts import LONGEST_PAUSE_SECONDS
from outbox.mirror.states import BreakerState
from outbox.mirror.tables import pds_host
from tests.e2e.artist import Artist
from tests.e2e.production_pds import account_at, production_pds
from tests.faults.shifted_clock import Ahead, program
from tests.servers.certificates import Authority
from tests.servers.internet import Internet
from tests.servers.site import SILENT, Site
from tests.waits import until

PDS, OTHER = "pds.example.org", "other.example.org"
LONGEST = timedelta(seconds=LONGEST_PAUSE_SECONDS)
A_WHILE = timedelta(seconds=20)

Fault = Callable[[Site], Coroutine[Any, Any, None]]


@dataclass(frozen=True)
class Row:
    """A failure, and the error that the API shows for it."""

    fault: Fault
    error: str
    is_slow: bool = False
    """Whether each try takes seconds: then two are enough."""


def rows(theirs: Authority) -> dict[str, Row]:
    unknown = theirs.certificate("unknown", [PDS])
    return {
        "no such name": Row(lambda site: site.says(NXDOMAIN), "HostNotFoundError"),
        "DNS fails": Row(lambda site: site.says(SERVFAIL), "NameUnavailableError"),
        "DNS is silent": Row(lambda site: site.says(SILENT), "NameUnavailableError", is_slow=True),
        "a name that leads into our own network": Row(
            lambda site: site.says("127.0.0.1"), "UnsafeAddressError"
        ),
        "refused": Row(Site.refuses, "ConnectError"),
        "a certificate of an unknown authority": Row(lambda site: site.shows(unknown), "ConnectError"),
    }


class CutOff:
    """Two artists at a PDS that cannot be reached, and one at another PDS."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        ports = {PDS: free_port(), OTHER: free_port()}
        self.internet = Internet(ports, folder)
        stack.enter_context(self.internet.up())
        self.site = self.internet.sites[PDS]
        plc = stack.enter_context(DevPlc(folder / "plc"))
        servers = [
            stack.enter_context(production_pds(self.internet, plc, folder, *at)) for at in ports.items()
        ]
        accounts = [account_at(servers[index], name) for index, name in ((0, "ann"), (0, "bob"), (1, "cat"))]
        self.clock = Ahead(folder / "ahead")
        env = {
            "MASTERTAPE_DEV_ORIGINS": "",
            "MASTERTAPE_PLC_URL": plc.url,
            "SSL_CERT_FILE": str(self.internet.authority.file),
        }
        service = Service(folder / "data", servers[0], program=program(self.clock), env=env)
        service.start()
        stack.callback(service.stop)
        self.database = Database(f"sqlite:///{folder}/data/mastertape.db", pool_size=1)
        stack.callback(self.database.close)
        at = (servers[0], servers[0], servers[1])
        self.ann, self.bob, self.stranger = (
            Artist(service, pds, each) for pds, each in zip(at, accounts, strict=True)
        )
        self.takes = itertools.count(1)
        self.failures = 0
        for artist in (self.ann, self.bob, self.stranger):
            stack.callback(artist.client.http.close)
            artist.uploads()
            artist.agreed()

    def host(self) -> Any:
        with self.database.read() as connection:
            here = pds_host.c.host == f"https://{PDS}"
            return connection.execute(select(pds_host).where(here)).one()

    def opens(self) -> bool:
        """Whether the breaker is open; let time go by after each failure until it is."""
        host = self.host()
        if host.failures != self.failures:
            self.failures = host.failures
            self.clock.advance(A_WHILE)
        return bool(host.breaker == BreakerState.OPEN)

    def plays(self, row: Row) -> None:
        title, two = f"Take {next(self.takes)}", (self.ann, self.bob)
        before = [each.record for each in two]
        self.internet.let(row.fault(self.site))

        for artist in (*two, self.stranger):
            artist.edits(title=title)

        for artist in two:
            until(lambda artist=artist: failed_with(row.error, artist.mirror))
        self.site.heard.clear()  # of what was still on its way
        self.failures = 0
        until(lambda: row.is_slow or self.opens())
        assert (self.stranger.agreed() or {})["title"] == title
        assert self.site.heard == []
        assert [each.record for each in two] == before

        self.internet.let(self.site.mends())
        self.clock.advance(LONGEST)

        for artist in two:
            assert (artist.agreed() or {})["title"] == title
        until(lambda: self.host().breaker == BreakerState.CLOSED)


def failed_with(error: str, mirror: dict[str, Any]) -> bool:
    """Whether it was tried itself; without an error of its own it waits for its host."""
    return mirror["reason"] == "backoff" and error in (mirror["last_error"] or "")


def main(folder: Path) -> None:
    with ExitStack() as stack:
        cut_off = CutOff(folder, stack)
        for name, row in rows(Authority(folder / "theirs")).items():
            began = time.monotonic()
            try:
                cut_off.plays(row)
            except Exception as failure:
                failure.add_note(name)
                raise
            print(f"{name}: {time.monotonic() - began:.1f} s", flush=True)  # noqa: T201
    print("all good", flush=True)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
