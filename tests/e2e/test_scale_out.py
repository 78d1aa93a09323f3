"""Several API processes and several relays on one database: each change arrives once."""

import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from demo.service import Client
from devpds.server import DevPds, DevPlc
from eventstore.errors import LogBusyError
from eventstore.sql.database import Database
from outbox.mirror.tables import delivery_attempt, mirror_lane
from tests.e2e.artist import Artist
from tests.e2e.conftest import DEEP, NewArtist, environment
from tests.e2e.killable import KillableService
from tests.faults.faults import hang_after, hold_until
from tests.faults.proxy import FaultProxy, applied
from tests.outbox.rigs.rows import lane_row
from tests.servers.atproto import new_account
from tests.servers.databases import AND_CITUS, KINDS
from tests.servers.firehose import writes_of
from tests.servers.preloaded import Service
from tests.service.command_line import Daemon, daemon
from tests.waits import until

pytestmark = pytest.mark.pds

EDITS = 4
RESTARTED_WITHIN_SECONDS = 60.0


class Cluster:
    """API processes without relays, two at most, and relays beside them."""

    def __init__(self, settings: dict[str, str], pds: DevPds, folder: Path, stack: ExitStack) -> None:
        self._settings, self._pds, self._folder, self._stack = settings, pds, folder, stack
        self.relays: list[Daemon] = []

    @cached_property
    def first(self) -> Service:
        return self._api({})

    @cached_property
    def second(self) -> Service:
        return self._api({"MASTERTAPE_BASE_URL": self.first.url})

    def _api(self, more: dict[str, str]) -> Service:
        env = {**self._settings, **more, "MASTERTAPE_RELAY": "off"}
        api = Service(Path(self._settings["MASTERTAPE_DATA"]), self._pds, env=env)
        api.start()
        self._stack.callback(api.stop)
        return api

    def relay(self, **settings: object) -> Daemon:
        names = {name.removeprefix("MASTERTAPE_"): value for name, value in self._settings.items()} | settings
        address = {"PLC_URL": self._pds.plc_url, "BASE_URL": self.first.url}
        log = self._folder / f"relay-{len(self.relays)}"
        started = self._stack.enter_context(daemon(log, "relay", **{**names, **address}))
        started.wait_for("the relay is running")
        self.relays.append(started)
        return started

    @property
    def database(self) -> Database:
        folder = self._settings["MASTERTAPE_DATA"]
        url = self._settings.get("MASTERTAPE_DATABASE_URL", f"sqlite:///{folder}/mastertape.db")
        return Database(url, pool_size=1)


@pytest.fixture(params=[*(KINDS if DEEP else KINDS[1:]), *AND_CITUS])
def settings(
    request: pytest.FixtureRequest, pds: DevPds, proxied_pds: DevPds, tmp_path: Path
) -> Iterator[dict[str, str]]:
    """The environment of all processes; SQLite, for which several are unusual, only with TEST_DEEP."""
    with environment(request, tmp_path / "service", pds, proxied_pds) as found:
        yield found


@pytest.fixture
def cluster(settings: dict[str, str], pds: DevPds, tmp_path: Path) -> Iterator[Cluster]:
    with ExitStack() as stack:
        yield Cluster(settings, pds, tmp_path, stack)


@pytest.fixture
def service(cluster: Cluster) -> Service:
    """Where `new_artist` signs in."""
    return cluster.first


def stop_between_writes(relay: Daemon, database: Database) -> None:
    """Stop it where it holds no lock: on SQLite all other processes would wait for it."""

    def is_stopped() -> bool:
        relay.process.send_signal(signal.SIGSTOP)
        with suppress(LogBusyError), database.write():
            return True
        relay.process.send_signal(signal.SIGCONT)
        return False

    until(is_stopped)


def attempts_of(database: Database, did: str) -> list[Any]:
    with database.read() as connection:
        mine = delivery_attempt.c.did == did
        return list(connection.execute(select(delivery_attempt).where(mine).order_by(delivery_attempt.c.id)))


def held_lanes(database: Database) -> list[str]:
    with database.read() as connection:
        return list(
            connection.scalars(select(mirror_lane.c.did).where(mirror_lane.c.lease_owner.is_not(None)))
        )


def test_two_apis_and_two_relays_deliver_each_change_once_also_when_a_relay_is_told_to_go(
    cluster: Cluster, new_artist: NewArtist, pds: DevPds
) -> None:
    going = cluster.relay()
    staying = cluster.relay()
    artists = [new_artist(pds) for _ in range(3)]
    second = cluster.second

    def works(artist: Artist) -> None:
        other = Client(second.url, artist.did, artist.account.app_password)
        artist.uploads()
        for number in range(EDITS):
            client = other if number % 2 else artist.client
            client.edit(artist.track_id, title=f"take {number}")
        other.http.close()

    with ThreadPoolExecutor(len(artists)) as pool:
        working = [pool.submit(works, artist) for artist in artists]
        until(lambda: any(artist.track_id and artist.record for artist in artists))
        assert going.end(signal.SIGTERM) == 0
        for each in working:
            each.result()
    for artist in artists:
        record = artist.agreed()
        assert record is not None
        assert record["title"] == f"take {EDITS - 1}"

    assert staying.end(signal.SIGTERM) == 0
    database = cluster.database
    for artist in artists:
        attempts = attempts_of(database, artist.did)
        commits = Counter(attempt.gen for attempt in attempts if attempt.rev is not None)
        assert set(commits.values()) == {1}
        assert {attempt.outcome for attempt in attempts} == {"done"}
    assert held_lanes(database) == []
    database.close()
    for relay in cluster.relays:
        assert "Traceback" not in relay.output


def test_after_a_kill_the_next_relay_delivers_within_seconds_although_the_lease_is_long(
    cluster: Cluster, new_artist: NewArtist, proxied_pds: DevPds, proxy: FaultProxy
) -> None:
    killed, artist = cluster.relay(LEASE_SECONDS=600), new_artist(proxied_pds)
    artist.uploads()
    artist.agreed()
    proxy.seen.clear()
    proxy.on("putRecord", fault=hang_after, times=1)
    artist.edits(title="On its way")
    proxy.await_passed("putRecord", matches=applied)
    killed.process.kill()
    artist.edits(album="Left to the next one")

    cluster.relay(LEASE_SECONDS=600)
    started = time.monotonic()
    record = artist.agreed()
    assert time.monotonic() - started < RESTARTED_WITHIN_SECONDS
    assert record is not None
    assert (record["title"], record["album"]) == ("On its way", "Left to the next one")


def test_an_edit_whose_process_was_killed_before_it_told_a_relay_arrives_within_fifteen_seconds(
    cluster: Cluster, settings: dict[str, str], pds: DevPds, plc: DevPlc
) -> None:
    killed = KillableService(Path(settings["MASTERTAPE_DATA"]), pds, {**settings, "MASTERTAPE_RELAY": "off"})
    cluster.first = killed
    killed.start()
    cluster.relay()
    artist = Artist(killed, pds, new_account(pds, plc))
    artist.uploads()
    artist.agreed()
    killed.trigger.arm("command: committed, not announced")
    with pytest.raises(httpx.TransportError):
        artist.edits(title="Told to none")
    until(lambda: (artist.record or {})["title"] == "Told to none", within=15)
    killed.stop()
    artist.client.http.close()


def test_a_stopped_relay_keeps_its_lanes_for_its_lease_and_then_sends_nothing_with_effect(
    cluster: Cluster, new_artist: NewArtist, proxied_pds: DevPds, proxy: FaultProxy
) -> None:
    stopped, artist, opened = cluster.relay(), new_artist(proxied_pds), threading.Event()
    artist.uploads()
    artist.agreed()
    proxy.seen.clear()
    proxy.on("putRecord", fault=hold_until(opened), times=1)
    artist.edits(title="Sent by the stopped one")
    proxy.await_passed("putRecord")
    database = cluster.database
    stop_between_writes(stopped, database)
    lease_until = lane_row(database, artist.did).lease_until
    artist.edits(title="Sent by the next one")
    cluster.relay()

    record = artist.agreed()
    assert record is not None
    assert record["title"] == "Sent by the next one"
    assert attempts_of(database, artist.did)[-1].started_at >= lease_until

    opened.set()
    proxy.await_passed("putRecord", matches=applied, count=2)
    stopped.process.send_signal(signal.SIGCONT)
    stopped.wait_for("lease_lost")
    assert artist.agreed() == record
    writes = writes_of(proxied_pds, [artist.did])[artist.did]
    titles = [
        write.record["title"] for write in writes if write.record is not None and "title" in write.record
    ]
    assert titles == ["First Take", "Sent by the next one"]
    assert "ForeignEditObserved" not in {row["type"] for row in artist.client.history(artist.track_id)}
    database.close()
