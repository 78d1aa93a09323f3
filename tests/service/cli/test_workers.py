"""`mastertape serve --workers`: several processes behind one port, on PostgreSQL."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from devpds.ports import free_port
from eventstore.sql.database import POOL_SIZE
from tests.service.cli.conftest import Type
from tests.service.command_line import MASTERTAPE, TIMEOUT_SECONDS, Daemon, daemon, environment
from tests.waits import until

METRICS_PORT = free_port()
PROGRAMS = 2
"""Two workers; a relay beside them takes as long to start as each."""


def test_on_sqlite_more_than_one_worker_is_refused(typed: Type) -> None:
    result = typed("serve", "--workers", "2")
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: 2 workers need PostgreSQL: SQLite lets one process write at a time. "
        "Set MASTERTAPE_DATABASE_URL, or leave --workers out.\n"
    )


@pytest.mark.postgres
def test_a_worker_that_cannot_start_ends_all_with_its_reason(tmp_path: Path, fresh_postgres: str) -> None:
    own = {"DATA": tmp_path, "DATABASE_URL": fresh_postgres, "RELAY": "off"}
    with daemon(tmp_path / "log", "serve", "--workers", "2", **own) as service:
        assert service.process.wait(TIMEOUT_SECONDS) == 1
    assert "the database is empty" in service.output
    assert "did not start; the log says why" in service.output


@pytest.fixture
def service(tmp_path: Path, migrated_postgres: str, request: pytest.FixtureRequest) -> Iterator[Daemon]:
    where = {"DATA": tmp_path / "data", "DATABASE_URL": migrated_postgres, "RELAY": request.param}
    with daemon(
        tmp_path / "log", "serve", "--workers", "2", METRICS=f"127.0.0.1:{METRICS_PORT}", **where
    ) as made:
        made.wait_for(f"mastertape answers on {made.url}\n")
        yield made


@pytest.mark.postgres
@pytest.mark.parametrize("service", ["off"], indirect=True)
def test_workers_share_limits_and_are_started_again_replaced_and_ended_together(service: Daemon) -> None:
    first, second = children(service)
    remaining = []
    for stopped in (first, second):
        os.kill(stopped, signal.SIGSTOP)  # so that the other one answers
        remaining += [int(service.get("/tracks").headers["ratelimit-remaining"]) for _ in range(20)]
        os.kill(stopped, signal.SIGCONT)
    assert min(remaining) < 75, "each counts for itself"

    of_both = 'http_requests_total{method="GET",route="/tracks",status="200"} 40.0'
    until(lambda: of_both in metrics())
    assert "database_up 1.0" in metrics()

    os.kill(second, signal.SIGKILL)
    until(lambda: len(children(service)) == PROGRAMS and second not in children(service))

    before, answers = set(children(service)), []

    def all_replaced() -> bool:
        answers.append(service.get("/healthz").status_code)
        return len(children(service)) == PROGRAMS and before.isdisjoint(children(service))

    service.process.send_signal(signal.SIGHUP)
    until(all_replaced, pause=0.1)
    assert set(answers) == {200}
    running = f'database_connections{{state="limit"}} {float(PROGRAMS * 2 * POOL_SIZE)}'
    until(lambda: running in metrics(), pause=0.5)  # without those that have ended

    last = children(service)
    assert service.end(signal.SIGTERM) == 0
    assert not any(map(is_running, last))
    assert "Traceback" not in service.output


@pytest.mark.postgres
@pytest.mark.parametrize("service", ["on"], indirect=True)
def test_the_relay_and_the_workers_end_with_a_supervisor_that_was_killed(service: Daemon) -> None:
    started = children(service)
    assert len(started) == PROGRAMS + 1
    assert "listener_alive 1.0" in metrics()
    service.process.kill()
    until(lambda: not any(map(is_running, started)))
    assert "Traceback" not in service.output


def test_a_worker_whose_supervisor_was_killed_before_it_was_ready_answers_what_it_took_and_ends(
    tmp_path: Path,
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ended = subprocess.run(
            [MASTERTAPE, "serve", "--listener", str(listener.fileno())],
            input="",
            stdout=writer,
            stderr=subprocess.PIPE,
            env=environment({"DATA": tmp_path}),
            pass_fds=[listener.fileno()],
            text=True,
            check=False,
        )
    os.close(writer)
    assert "Traceback" not in ended.stderr
    assert "Application shutdown complete" in ended.stderr


def metrics() -> str:
    return httpx.get(f"http://127.0.0.1:{METRICS_PORT}/metrics").text


def children(service: Daemon) -> list[int]:
    pid = service.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
