"""Requests through PgBouncer in transaction mode, and a relay beside it with a direct connection: docs/operations.md."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from devpds.ports import free_port
from devpds.server import DevPds
from service.cli.main import main
from service.config.settings import PREFIX
from tests.e2e.artist import Artist
from tests.servers.pgbouncer import ROLE_SETTINGS, pooled
from tests.servers.preloaded import Service
from tests.service.command_line import daemon

pytestmark = [pytest.mark.pgbouncer, pytest.mark.postgres]


@pytest.fixture
def pooler(migrated_postgres: str) -> Iterator[str]:
    with pooled(migrated_postgres, *ROLE_SETTINGS) as url:
        yield url


@pytest.fixture
def service(pooler: str, pds: DevPds, tmp_path: Path) -> Iterator[Service]:
    settings = {"MASTERTAPE_DATABASE_URL": pooler, "MASTERTAPE_RELAY": "off"}
    made = Service(tmp_path / "data", pds, env=settings)
    made.start()
    yield made
    made.stop()


@pytest.mark.pds
def test_edits_through_a_pooler_are_delivered_by_a_relay_with_a_direct_connection(
    service: Service, artist: Artist, migrated_postgres: str, pds: DevPds, tmp_path: Path
) -> None:
    direct = {
        "DATA": tmp_path / "data",
        "DATABASE_URL": migrated_postgres,
        "DEV_ORIGINS": pds.url,
        "PLC_URL": pds.plc_url,
        "BASE_URL": service.url,
    }
    with daemon(tmp_path / "log", "relay", **direct) as relay:
        relay.wait_for("the relay is running")
        artist.uploads()
        for take in range(8):
            artist.edits(title=f"take {take}")
        record = artist.agreed()
    assert record is not None
    assert record["title"] == "take 7"


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    def runs(name: str, url: str, **settings: str) -> Result:
        for setting, value in {
            "DATA": tmp_path,
            "DATABASE_URL": url,
            "PORT": free_port(),
            **settings,
        }.items():
            monkeypatch.setenv(PREFIX + setting, str(value))
        return CliRunner().invoke(main, [name])

    return runs


def test_a_process_with_a_relay_refuses_to_start_through_a_pooler(
    command: Callable[..., Result], pooler: str
) -> None:
    for name in ("serve", "relay"):
        ended = command(name, pooler)
        assert ended.exit_code == 1
        assert ended.output.startswith(
            "Error: A relay, and `rebuild`, need a direct connection to PostgreSQL"
        )


def test_the_doctor_says_what_a_pooled_connection_is_good_for(
    command: Callable[..., Result], pooler: str
) -> None:
    assert (
        "fail  database: A relay, and `rebuild`, need a direct connection" in command("doctor", pooler).output
    )
    found = command("doctor", pooler, RELAY="off").output
    assert "ok    database: postgresql, through a pooler: for requests only" in found


def test_a_command_names_what_a_pooler_drops(command: Callable[..., Result], migrated_postgres: str) -> None:
    with pooled(migrated_postgres) as url:
        ended = command("serve", url, RELAY="off")
    assert ended.exit_code == 1
    assert "lock_timeout is 0 instead of 10s" in ended.output
