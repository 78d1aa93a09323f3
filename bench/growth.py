"""Compares the service beside a long log with the same beside a short one."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Final

import httpx
from sqlalchemy import update

from bench.logs import EVENTS_PER_TRACK, did_of, fill, log_at, token_of, vacuum
from bench.postgres import postgres_database
from bench.report import Row
from bench.rounds import Arm, Effort, Seconds, compare
from bench.services import Servers, new_title, start_process, start_servers, time_operations
from eventstore.event_log import EventLog
from eventstore.projection import Projection, insert_rows
from identity.accounts.credentials import Scope
from outbox.mirror.states import LaneState
from outbox.mirror.tables import NEVER, PAST, mirror_lane, pds_host
from outbox.relay.claim import claim
from projections.rebuild.rebuild import rebuild

SENTENCE: Final = "What requests and the claim of lanes take beside 1,000,000 events, as a multiple of the same beside 10,000."
FEW, MANY = 10_000, 1_000_000
QUICK_FEW, QUICK_MANY = 400, 2_000
MAX_RATIO: Final = 1.2
ARTIST: Final = did_of(1)
READS: Final = {
    "a track": "/tracks/1",
    "a page of tracks": "/tracks?limit=20",
    "a history": "/tracks/1/history?limit=10",
    "a mirror": "/tracks/1/mirror",
}
EDIT: Final = "an edit"
CLAIM: Final = "a claim"
CLAIMED: Final = [did_of(number) for number in range(1, 9)]
HOST: Final = "http://pds.bench"
LEASE: Final = timedelta(seconds=60)
DUE: Final = {"due_at": PAST, "lease_until": PAST, "lease_owner": None}


def run(folder: Path, effort: Effort, show_progress: Callable[[str], None]) -> list[Row]:
    """Measure with two services of each kind of database, without a relay."""
    rows: list[Row] = []
    sizes = (QUICK_FEW, QUICK_MANY) if effort.is_quick else (FEW, MANY)
    with start_servers(folder) as servers:
        for name in ("SQLite", "PostgreSQL"):
            with ExitStack() as stack:
                both = []
                for events in sizes:
                    show_progress(f"filling a database with {events} events, {name}")
                    both.append(stack.enter_context(begun(servers, f"{name}-{events}".lower(), events)))
                few, many = both
                if few is None or many is None:
                    continue
                for what in (*READS, EDIT, CLAIM):
                    rows += compare(
                        Arm(f"{name}: {what}, {sizes[0]} events", partial(few.times, what)),
                        [Arm(f"{name}: {what}, {sizes[1]} events", partial(many.times, what), MAX_RATIO)],
                        effort,
                        show_progress,
                    )
    return rows


@dataclass(frozen=True)
class Begun:
    """A service that has begun, with its log and a client that is signed in."""

    log: EventLog
    http: httpx.Client

    def times(self, what: str, operations: int) -> Seconds:
        """Do this so often, and return how long each took."""
        if what == CLAIM:
            return [self._claim() for _ in range(operations)]
        if what == EDIT:
            return time_operations(self.edit, operations)
        return time_operations(lambda: self.http.get(READS[what]).raise_for_status(), operations)

    def edit(self) -> None:
        self.http.patch("/tracks/1", json={"title": new_title()}).raise_for_status()

    def _claim(self) -> float:
        with self.log.database.write() as connection:
            connection.execute(update(mirror_lane).where(mirror_lane.c.did.in_(CLAIMED)).values(DUE))
        began = time.perf_counter()
        lanes = claim(self.log.database, owner="bench", limit=len(CLAIMED), lease=LEASE)
        seconds = time.perf_counter() - began
        if len(lanes) != len(CLAIMED):
            raise RuntimeError(f"{len(lanes)} of {len(CLAIMED)} lanes were due")
        return seconds


@contextmanager
def begun(
    servers: Servers, name: str, events: int, projections: Sequence[Projection] = ()
) -> Iterator[Begun | None]:
    """Yield a service on a filled log whose read models, or these `projections`, are made; None without PostgreSQL."""
    with ExitStack() as stack:
        database_url = None
        if name.startswith("postgres"):
            database_url = stack.enter_context(postgres_database())
            if database_url is None:
                yield None
                return
        env = {"MASTERTAPE_RELAY": "off"}
        service, _ = stack.enter_context(start_process(servers, name, database_url, env=env))
        log = stack.enter_context(
            log_at(database_url or f"sqlite:///{servers.folder / name / 'mastertape.db'}")
        )
        fill(log, 0, events)
        rebuild(log, projections or log.projections)
        with log.database.write() as connection:
            insert_rows(connection, pds_host, [{"host": HOST, "max_lanes": len(CLAIMED)}])
            idle = {"host": HOST, "state": LaneState.READY, "due_at": NEVER}
            numbers = range(1, events // EVENTS_PER_TRACK + 1)
            insert_rows(connection, mirror_lane, [{"did": did_of(number), **idle} for number in numbers])
        vacuum(log)
        headers = {"authorization": f"Bearer {token_of(log.database.url, ARTIST, Scope.WRITE)}"}
        http = stack.enter_context(httpx.Client(base_url=service.url, headers=headers, timeout=60))
        yield Begun(log, http)
