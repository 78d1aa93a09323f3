"""`mastertape serve` and `relay` as processes: how they start, what they refuse, and how they end."""

import signal
import socket
import time
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from devpds.ports import free_port
from outbox.mirror.lanes import resume_lane
from service.cli.serve import _listener
from service.config.settings import PREFIX, Settings
from service.schema.migrate import newest
from service.wiring.bootstrap import Container
from tests.outbox.rigs.rows import lane_row
from tests.servers.databases import ON_SQLITE, revision, temporary_database
from tests.service.cli.conftest import Type
from tests.service.command_line import Daemon, daemon

SILENT = "http://127.0.0.1:1"


def test_serve_on_sqlite_migrates_answers_where_it_is_told_logs_no_query_and_ends_in_order(
    tmp_path: Path,
) -> None:
    data, at = tmp_path / "new" / "data", ["--host", "localhost", "--port", str(free_port())]
    with daemon(tmp_path / "log", "serve", *at, DATA=data) as service:
        url = f"http://localhost:{at[-1]}"
        service.wait_for(f"mastertape answers on {url}\n")
        assert httpx.get(f"{url}/readyz").is_success
        answer = httpx.get(f"{url}/tracks?q=private", headers={"x-request-id": "mine"})
        assert answer.json() == {"items": [], "cursor": None}
        ends_in_order(service, signal.SIGINT)
        [line] = [line for line in service.output.splitlines() if '"path": "/tracks"' in line]
    assert revision(f"sqlite:///{data}/mastertape.db") == newest()
    assert {each.name for each in data.iterdir()} >= {"mastertape.db", "secret_keys"}
    assert '"request_id": "mine"' in line
    assert '"status": 200' in line
    assert "private" not in service.output


def test_a_relay_answers_at_the_address_on_its_command_line_and_ends_in_order(tmp_path: Path) -> None:
    at = ["--host", "localhost", "--port", str(free_port())]
    with daemon(tmp_path / "log", "relay", *at, DATA=tmp_path) as relay:
        relay.wait_for("the relay is running")
        assert httpx.get(f"http://localhost:{at[-1]}/readyz").is_success
        ends_in_order(relay, signal.SIGINT)


def ends_in_order(started: Daemon, number: int) -> None:
    assert started.end(number) == 0
    assert "Traceback" not in started.output
    assert "Aborted" not in started.output


def test_rows_of_another_version_are_made_again_on_sqlite_and_refused_on_postgres(
    on_tape: Type, tape: Container, tmp_path: Path
) -> None:
    with tape.database.write() as connection:
        connection.execute(text("update projection_state set fingerprint = 'x' where name = 'tracks'"))
        connection.execute(text("update tracks set title = 'of another version'"))
    if not tape.database.is_sqlite:
        result = on_tape("serve")
        assert (result.exit_code, result.stderr) == (
            1,
            "Error: projection 'tracks' is not of this version: run `mastertape rebuild tracks`.\n",
        )
        return
    with daemon(
        tmp_path / "log", "serve", DATA=tape.settings.data, DATABASE_URL=tape.settings.database_url
    ) as service:
        service.wait_for("mastertape answers on")
        assert service.get("/tracks/1").json()["title"] == "Second"


@pytest.mark.postgres
@pytest.mark.parametrize("command", ["serve", "migrate", "doctor"])
def test_a_database_that_cannot_hold_every_title_is_refused_in_a_line(
    typed: Type, monkeypatch: pytest.MonkeyPatch, postgres_url: str, command: str
) -> None:
    with temporary_database(postgres_url, options="encoding SQL_ASCII locale 'C'") as url:
        monkeypatch.setenv(f"{PREFIX}DATABASE_URL", url)
        result = typed(command)
    assert result.exit_code == 1
    said = "the database stores text as SQL_ASCII, which cannot hold every title: create one with `createdb"
    assert said in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("command", ["serve", "relay"])
def test_a_taken_metrics_port_is_reported_in_a_line(
    typed: Type, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        place = f"127.0.0.1:{other.getsockname()[1]}"
        monkeypatch.setenv(f"{PREFIX}METRICS", place)
        result = typed(command)
    assert result.exit_code == 1
    assert result.stderr.startswith(
        f"Error: MASTERTAPE_METRICS: cannot listen on {place}: Address already in use"
    )
    assert result.stderr.count("\n") == 1


@pytest.mark.postgres
@pytest.mark.parametrize("command", ["serve", "relay"])
def test_on_postgres_an_old_schema_is_refused(
    typed: Type, monkeypatch: pytest.MonkeyPatch, fresh_postgres: str, command: str
) -> None:
    monkeypatch.setenv(f"{PREFIX}DATABASE_URL", fresh_postgres)
    result = typed(command)
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: the database is empty, this version needs {newest()}: run `mastertape migrate`\n"
    )
    assert revision(fresh_postgres) is None


def test_a_taken_port_is_reported_before_the_database_is_touched(typed: Type, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = typed("serve", "--port", str(port))
    assert result.exit_code == 1
    assert result.stderr == f"Error: cannot listen on 127.0.0.1:{port}: Address already in use\n"
    assert not (tmp_path / "data").exists()


def test_a_running_request_is_answered_before_the_end(tmp_path: Path) -> None:
    with daemon(tmp_path / "log", "serve", DATA=tmp_path / "data") as service:
        service.wait_for("answers on")
        with socket.create_connection(("127.0.0.1", service.port)) as client:
            client.sendall(b"POST /auth/app-password HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{")
            time.sleep(0.3)
            service.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            client.sendall(b"}")
            assert client.recv(100).startswith(b"HTTP/1.1 4")
        assert service.process.wait(20) == 0


@ON_SQLITE
def test_a_relay_claims_lanes_and_releases_them(tape: Container, tmp_path: Path) -> None:
    """A lane that a dead process held is free when its lease has ended; one that drained leaves none held."""
    did = "did:plc:alice"
    with tape.database.write() as connection:
        resume_lane(connection, did, SILENT, tape.database.now(connection))
    with daemon(
        tmp_path / "log", "relay", DATA=tape.settings.data, DATABASE_URL=tape.settings.database_url
    ) as relay:
        relay.wait_for("relay is running")
        deadline = time.monotonic() + 20
        while lane_row(tape.database, did).lease_epoch == 0 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert relay.end(signal.SIGTERM) == 0
    row = lane_row(tape.database, did)
    assert row.lease_epoch > 0
    assert row.lease_owner is None
    assert "Traceback" not in relay.output


@ON_SQLITE
def test_serve_runs_no_relay_when_it_is_off(tape: Container, tmp_path: Path) -> None:
    with tape.database.write() as connection:
        resume_lane(connection, "did:plc:alice", SILENT, tape.database.now(connection))
    with daemon(
        tmp_path / "log",
        "serve",
        RELAY="off",
        DATA=tape.settings.data,
        DATABASE_URL=tape.settings.database_url,
    ) as service:
        service.wait_for("answers on")
        time.sleep(1)
        assert service.end(signal.SIGTERM) == 0
    assert lane_row(tape.database, "did:plc:alice").lease_epoch == 0


def test_responses_do_not_wait_for_nagles_algorithm() -> None:
    listener = _listener(Settings(port=free_port()))
    listener.close()
    assert listener.proto == socket.IPPROTO_TCP  # what asyncio looks at before it sets TCP_NODELAY
