"""Compares a replay after a wiped repository, for each of its records, and a bare putRecord loop."""

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx

from bench.logs import ARTIST, COLLECTION, logs, track_of
from bench.relays import relay_to
from bench.report import Row
from bench.rounds import Arm, Effort, Seconds, compare
from bench.services import Servers, bare_puts, create_account, start_servers
from devpds.server import DevPds
from eventstore.event_log import EventLog
from outbox.mirror.lanes import resume_lane
from outbox.pds.client import Pds
from outbox.relay.relay import RelayLimits
from outbox.repo.reads import RepoReads
from replay.reconcile import verify
from replay.repair.worker import apply_steps

SENTENCE: Final = "A replay of a wiped repository (verify, plan, apply, deliver) takes less than a third of a bare putRecord loop's time a record."
MAX_RATIO: Final = 1 / 3
RECORDS: Final = 500
QUICK_RECORDS: Final = 20
WRITES_PER_REQUEST: Final = 200
LIMITS: Final = RelayLimits(lease=timedelta(seconds=60))


def run(folder: Path, effort: Effort, show_progress: Callable[[str], None]) -> list[Row]:
    """Measure with one account, whose repository loses all its records before each round."""
    records = QUICK_RECORDS if effort.is_quick else RECORDS
    with ExitStack() as stack:
        show_progress("starting a PLC directory and a PDS")
        servers = stack.enter_context(start_servers(folder))
        floor = Arm("bare putRecord", bare_puts(servers.pds))
        rows: list[Row] = []
        for name, log in logs(folder):
            show_progress(f"filling a repository, {name}")
            did = _account(log, servers, name.lower(), records)
            arm = Arm(f"replay a record, {name}", partial(_replay, log, servers.pds, did), MAX_RATIO)
            found = compare(floor, [arm], effort, show_progress)
            rows += found if not rows else found[1:]
        return rows


def _account(log: EventLog, servers: Servers, name: str, records: int) -> str:
    """Register the tracks of a new account, and deliver them."""
    did = create_account(servers.pds, f"replay-{name}")
    with log.unit_of_work(did, ARTIST) as unit:
        unit.save(*(track_of(number, did=did) for number in range(1, records + 1)))
    with log.database.write() as connection:
        resume_lane(connection, did, servers.pds.url, log.database.now(connection))
    asyncio.run(_relay_once(log, servers.pds))
    return did


def _replay(log: EventLog, pds: DevPds, did: str, _operations: int) -> Seconds:
    keys = _wipe(pds, did)
    began = time.perf_counter()
    asyncio.run(_verify_and_apply(log, pds))
    asyncio.run(_relay_once(log, pds))
    seconds = time.perf_counter() - began
    if _keys(pds, did) != keys:
        raise RuntimeError("the replay did not restore every record")
    return [seconds / len(keys)]


def _wipe(pds: DevPds, did: str) -> Sequence[str]:
    keys = _keys(pds, did)
    delete = {"$type": "com.atproto.repo.applyWrites#delete", "collection": COLLECTION}
    for start in range(0, len(keys), WRITES_PER_REQUEST):
        writes = [{**delete, "rkey": key} for key in keys[start : start + WRITES_PER_REQUEST]]
        pds.procedure("com.atproto.repo.applyWrites", {"repo": did, "writes": writes}, by=did)
    return keys


def _keys(pds: DevPds, did: str) -> Sequence[str]:
    return [each["uri"].rpartition("/")[2] for each in pds.list_records(did, COLLECTION)]


async def _verify_and_apply(log: EventLog, pds: DevPds) -> None:
    async with httpx.AsyncClient() as http:
        reads = RepoReads(Pds(_Login(pds, http), http))
        repos = verify.repos_of(log.database)
        found = [await verify.Verifier(log.database, reads).compare(repo) for repo in repos]
    for each in found:
        log.transact(each.repo.did, ARTIST, partial(apply_steps, did=each.repo.did, steps=each.drifts))


async def _relay_once(log: EventLog, pds: DevPds) -> None:
    async with httpx.AsyncClient() as http, relay_to(log, _Login(pds, http), LIMITS) as relay:
        await relay.run_once()


class _Login:
    """Sends with the token of an account that is signed in at the PDS."""

    def __init__(self, pds: DevPds, http: httpx.AsyncClient) -> None:
        self._pds = pds
        self._http = http

    async def request(
        self,
        did: str,
        method: str,
        nsid: str,
        *,
        host: str,
        json: Any = None,
        timeout: float = 30.0,
        **_more: Any,
    ) -> httpx.Response:
        headers = {"authorization": f"Bearer {self._pds.access_token(did)}"}
        return await self._http.request(
            method, f"{host}/xrpc/{nsid}", json=json, headers=headers, timeout=timeout
        )
