"""The primary is killed under load and its standby promoted: deliveries go on once an operator says that nothing is lost."""

import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import select

from devpds.server import DevPds, DevPlc
from eventstore.coordination.restore_detection import POSITIONS_SKIPPED, restored_because
from eventstore.sql.database import Database
from outbox.mirror.tables import delivery_attempt
from service.config.settings import PREFIX
from tests.e2e.artist import Artist
from tests.e2e.conftest import DEEP
from tests.e2e.writer import Writer
from tests.servers.atproto import new_account
from tests.servers.citus import ON_CITUS
from tests.servers.databases import migrate
from tests.servers.postgres import PostgresServer
from tests.servers.preloaded import Service
from tests.servers.replicated_citus import ReplicatedNode, binaries_with_citus
from tests.servers.replicated_postgres import ReplicatedPostgres
from tests.service.command_line import run
from tests.waits import until

pytestmark = [
    pytest.mark.pds,
    pytest.mark.postgres,
    pytest.mark.timeout(300),
]
IN_DEPTH = pytest.mark.skipif(not DEEP, reason="a drill of half a minute: ./dev test --deep")
WITH_CITUS = pytest.mark.skipif(binaries_with_citus() is None, reason="no binaries here have Citus")
NODES = [pytest.param(node, marks=[ON_CITUS, WITH_CITUS]) for node in ("coordinator", "worker")]
Servers = ReplicatedPostgres | ReplicatedNode
WRITERS = 8
RECOVERY_SECONDS = 30


@pytest.fixture
def replicated_postgres(durable_postgres: PostgresServer) -> Iterator[ReplicatedPostgres]:
    migrate(durable_postgres.url)
    made = ReplicatedPostgres(durable_postgres, until)
    made.make_synchronous()
    yield made
    made.remove()


@pytest.fixture(params=[pytest.param("postgres", marks=IN_DEPTH)])
def servers(request: pytest.FixtureRequest) -> Iterator[Servers]:
    """One database, or a cluster of which a node has a standby."""
    if request.param == "postgres":
        yield request.getfixturevalue("replicated_postgres")
        return
    made = ReplicatedNode(until, is_worker=request.param == "worker")
    yield made
    made.remove()


@pytest.fixture
def service(servers: Servers, pds: DevPds, tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path / "data", pds, env={"MASTERTAPE_DATABASE_URL": servers.url})
    made.start()
    yield made
    made.stop()


@pytest.mark.parametrize("servers", [pytest.param("postgres", marks=IN_DEPTH), *NODES], indirect=True)
def test_deliveries_go_on_once_an_operator_says_that_a_failover_lost_nothing(
    servers: Servers, service: Service, pds: DevPds, plc: DevPlc
) -> None:
    writers = [Writer(Artist(service, pds, new_account(pds, plc))) for _ in range(WRITERS)]
    for writer in writers:
        writer.artist.uploads()
    stop = threading.Event()
    with ThreadPoolExecutor(WRITERS) as pool:
        working = [pool.submit(writer.edits_until, stop) for writer in writers]
        until(lambda: all(len(writer.acknowledged) > 3 for writer in writers))
        servers.kill_primary()
        before = [len(writer.acknowledged) for writer in writers]
        servers.promote()
        until(lambda: all(len(w.acknowledged) > n + 3 for w, n in zip(writers, before, strict=True)))
        stop.set()
        for each in working:
            each.result()
    assert not any(writer.is_delivered for writer in writers)
    assert says_that_nothing_is_lost(service).returncode == 0
    until(lambda: all(writer.is_delivered for writer in writers), within=RECOVERY_SECONDS)

    with closing(Database(servers.url)) as database, database.read() as connection:
        attempts = connection.execute(select(delivery_attempt)).all()
        assert restored_because(connection) is None
    landed = Counter((each.did, each.gen) for each in attempts if each.rev is not None)
    assert set(landed.values()) == {1}
    for writer in writers:
        positions = [row["position"] for row in writer.history]
        assert max(positions) > POSITIONS_SKIPPED > min(positions)
        assert sorted(writer.titles) == sorted(["First Take", *writer.acknowledged])  # each once
        writer.artist.client.http.close()


def says_that_nothing_is_lost(service: Service) -> subprocess.CompletedProcess[str]:
    return run(
        "recovered", "--nothing-lost", **{k.removeprefix(PREFIX): v for k, v in service.settings.items()}
    )


def test_a_standby_that_lost_its_tail_is_not_taken_for_one_that_lost_nothing(
    servers: ReplicatedPostgres, service: Service, artist: Artist, tmp_path: Path
) -> None:
    artist.uploads()
    artist.agreed()
    servers.lose_standby()
    artist.edits(title="On the primary alone")
    until(lambda: (artist.record or {}).get("title") == "On the primary alone")
    newest = artist.client.history(artist.track_id)[-1]["position"]
    seen = tmp_path / "data" / "newest_position"
    until(lambda: seen.exists() and int(seen.read_text()) >= newest, within=RECOVERY_SECONDS)
    servers.kill_primary()
    servers.promote()
    until(lambda: artist.client.http.patch(f"/tracks/{artist.track_id}", json={"title": "x"}).is_success)
    assert "something is lost" in says_that_nothing_is_lost(service).stderr
    assert "nothing is sent before" in artist.client.http.get("/readyz").text
    assert (artist.record or {})["title"] == "On the primary alone"
