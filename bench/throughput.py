"""Compares the rate at which the relay delivers to a real PDS and the best bare putRecord loop, for one account and for eight."""

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from http import HTTPStatus
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import Final
from unittest.mock import patch
from urllib.parse import urlsplit

from aggregates.tracks.track import Track
from bench.logs import ARTIST
from bench.postgres import databases
from bench.report import Row
from bench.rounds import Arm, Effort, Seconds, compare
from bench.services import Servers, bare_record, create_account, new_title, start_servers
from demo.media import tone
from demo.service import Client, Service
from demo.story import COLLECTION
from devpds.server import DevPds
from service.config.settings import load
from service.wiring.bootstrap import Container, build

SENTENCE: Final = (
    "How long the relay takes for each record of many edited ones, as a multiple of the best bare putRecord loop:"
    " one connection for each account."
)
ACCOUNTS: Final = (1, 8)
QUICK_ACCOUNTS: Final = (1, 2)
TRACKS: Final = 150
QUICK_TRACKS: Final = 2
"""Of one account; of several, each has its part."""
DELIVERY_TIMEOUT_SECONDS: Final = 120.0

_numbers: Final = count(1)


def run(folder: Path, effort: Effort, show_progress: Callable[[str], None]) -> list[Row]:
    """Measure with the service's own relay and logins, in this process."""
    tracks = QUICK_TRACKS if effort.is_quick else TRACKS
    sizes = QUICK_ACCOUNTS if effort.is_quick else ACCOUNTS
    with ExitStack() as stack:
        show_progress("starting a PLC directory and a PDS")
        servers = stack.enter_context(start_servers(folder))
        relays = {}
        for name, database_url in stack.enter_context(databases()).items():
            show_progress(f"uploading tracks, {name}")
            relay = _relay(servers, name.lower(), database_url, accounts=max(sizes), tracks=tracks)
            relays[name] = stack.enter_context(relay)
        dids = [create_account(servers.pds, f"bare{number}") for number in range(max(sizes))]
        rows: list[Row] = []
        for accounts in sizes:
            what = f"{accounts} account{'s' * (accounts > 1)}"
            rows += compare(
                Arm(f"bare putRecord, {what}", _puts(servers.pds, dids[:accounts], tracks // accounts)),
                [
                    Arm(f"{name}: relay, {what}", relay.deliveries(accounts, tracks // accounts))
                    for name, relay in relays.items()
                ],
                effort,
                show_progress,
            )
        return rows


class _Relay:
    """The relay of a service that has some tracks of each account."""

    def __init__(
        self, container: Container, runner: asyncio.Runner, tracks: Mapping[str, Sequence[int]]
    ) -> None:
        self._container = container
        self._runner = runner
        self._tracks = tracks

    def deliveries(self, accounts: int, tracks: int) -> Callable[[int], Seconds]:
        edited = {did: self._tracks[did][:tracks] for did in list(self._tracks)[:accounts]}
        return lambda _operations: [self._runner.run(self._deliver(edited))]

    async def _deliver(self, edited: Mapping[str, Sequence[int]]) -> float:
        """Deliver an edit of these tracks, by account, and return the seconds for each."""
        records = sum(map(len, edited.values()))
        for did, track_ids in edited.items():
            self._edit(did, track_ids)
        left, stop, relay = count(records - 1, -1), asyncio.Event(), self._container.relay
        relay.wake()

        def settled(_result: object) -> None:
            if next(left) <= 0:
                stop.set()

        with patch.object(relay.delivery.metrics, "settled", settled):
            began = time.perf_counter()
            running = asyncio.create_task(relay.run(stop))
            async with asyncio.timeout(DELIVERY_TIMEOUT_SECONDS):
                await stop.wait()
            seconds = time.perf_counter() - began
            await running
        return seconds / records

    def _edit(self, did: str, track_ids: Sequence[int]) -> None:
        with self._container.log.unit_of_work(did, ARTIST) as unit:
            for track_id in track_ids:
                track = unit.load(Track, Track.create_id(track_id))
                track.edit({"title": new_title()}, at=unit.now)
                unit.save(track)


@contextmanager
def _relay(servers: Servers, name: str, url: str | None, *, accounts: int, tracks: int) -> Iterator[_Relay]:
    env = {"MASTERTAPE_RELAY": "off"} | ({"MASTERTAPE_DATABASE_URL": url} if url is not None else {})
    service = Service(servers.folder / name, servers.pds, env=env)
    service.start()
    try:
        uploaded = dict(
            _uploads(service, servers.pds, f"{name}{number}", tracks // (accounts if number else 1))
            for number in range(accounts)
        )
    finally:
        service.stop()
    with patch.dict(os.environ, service.settings):
        container = build(load())
    with asyncio.Runner() as runner:
        try:
            runner.run(container.relay.run_once())
            yield _Relay(container, runner, uploaded)
        finally:
            runner.run(container.close())


def _uploads(service: Service, pds: DevPds, name: str, tracks: int) -> tuple[str, list[int]]:
    did = create_account(pds, name)
    client = Client(service.url, did, pds.create_app_password(did))
    with closing(client.http):
        audio = (tone(100 + next(_numbers), 0.1) for _ in range(tracks))
        return did, [int(client.upload(each, title=new_title())["id"]) for each in audio]


def _puts(pds: DevPds, dids: Sequence[str], records: int) -> Callable[[int], Seconds]:
    def put_many(did: str) -> None:
        address = urlsplit(pds.url)
        with closing(HTTPConnection(address.hostname or "", address.port)) as connection:
            for number in range(records):
                _put(connection, pds, did, f"bare-{number}")

    def run(_operations: int) -> Seconds:
        with ThreadPoolExecutor(len(dids)) as pool:
            began = time.perf_counter()
            list(pool.map(put_many, dids))
            return [(time.perf_counter() - began) / (records * len(dids))]

    return run


def _put(connection: HTTPConnection, pds: DevPds, did: str, rkey: str) -> None:
    body = {"repo": did, "collection": COLLECTION, "rkey": rkey, "record": bare_record()}
    headers = {"content-type": "application/json", "authorization": f"Bearer {pds.access_token(did)}"}
    connection.request("POST", "/xrpc/com.atproto.repo.putRecord", json.dumps(body), headers)
    response = connection.getresponse()
    if response.status != HTTPStatus.OK:
        raise RuntimeError(response.read().decode())
    response.read()
