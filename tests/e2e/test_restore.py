"""The restore runbook, on a service and a PDS that went on after the backup: nothing newer is lost, no login ends."""

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import make_url

from devpds.server import DevPds, DevPlc
from service.cli.main import main
from service.cli.output import DRIFT
from tests.e2e.artist import UNDELETE, Artist
from tests.servers.archived_postgres import ArchivedPostgres
from tests.servers.atproto import new_account
from tests.servers.databases import migrate
from tests.servers.postgres import PostgresServer
from tests.servers.preloaded import Service
from tests.waits import until

pytestmark = pytest.mark.pds


@dataclass
class Restorable:
    """A service whose database can be backed up while it runs, and put back while it does not."""

    settings: dict[str, str]
    back_up: Callable[[], None]
    put_back: Callable[[], None]

    def types(self, *command: str) -> tuple[int, dict[str, Any]]:
        ended = CliRunner().invoke(main, [*command, "--json"], env=self.settings)
        assert ended.stdout, ended.stderr
        return ended.exit_code, json.loads(ended.stdout)


@pytest.fixture
def in_a_file(tmp_path: Path) -> Restorable:
    """Copied as SQLite does it; put back as a file."""
    live, copy = tmp_path / "mastertape.db", tmp_path / "backup.db"

    def back_up() -> None:
        with contextlib.closing(sqlite3.connect(live)) as source:
            source.execute("vacuum into ?", [str(copy)])

    def put_back() -> None:
        for rest in ("-wal", "-shm"):
            live.with_name(live.name + rest).unlink(missing_ok=True)
        copy.replace(live)

    return Restorable({"MASTERTAPE_DATABASE_URL": f"sqlite:///{live}"}, back_up, put_back)


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    server = PostgresServer()
    try:
        server.start()
        yield server
    finally:
        server.remove()


@pytest.fixture
def to_a_point_in_time(own_postgres: PostgresServer) -> Restorable:
    """A base backup and the archived log, up to a point that comes later."""
    archived = ArchivedPostgres(own_postgres)
    url = own_postgres.url
    migrate(url)
    archived.take_base_backup()
    return Restorable(
        {"MASTERTAPE_DATABASE_URL": url}, lambda: archived.mark("then"), lambda: archived.restore("then")
    )


@pytest.fixture
def from_a_dump(own_postgres: PostgresServer) -> Restorable:
    """A dump, read into a database of another name."""
    server = own_postgres
    dump = server.folder / "dump"
    at = ("-h", server.folder, "-U", "postgres")
    migrate(server.url)
    settings = {"MASTERTAPE_DATABASE_URL": server.url}

    def put_back() -> None:
        server.run("createdb", *at, "restored")
        server.run("pg_restore", *at, "--exit-on-error", "-d", "restored", dump)
        url = make_url(server.url).set(database="restored")
        settings["MASTERTAPE_DATABASE_URL"] = url.render_as_string().replace("%2F", "/")

    return Restorable(settings, lambda: server.run("pg_dump", *at, "-Fc", "-f", dump, "postgres"), put_back)


WAYS = [
    "in_a_file",
    pytest.param("to_a_point_in_time", marks=pytest.mark.postgres),
    *([pytest.param("from_a_dump", marks=pytest.mark.postgres)] if os.environ.get("TEST_DEEP") else []),
]


@pytest.fixture(params=WAYS)
def restorable(request: pytest.FixtureRequest, tmp_path: Path, pds: DevPds) -> Restorable:
    way: Restorable = request.getfixturevalue(request.param)
    way.settings |= {
        "MASTERTAPE_DATA": str(tmp_path),
        "MASTERTAPE_PLC_URL": pds.plc_url,
        "MASTERTAPE_DEV_ORIGINS": pds.url,
        "MASTERTAPE_RATE_LIMITS": "off",
    }
    return way


class Restored:
    """The service before and after, and what its artist did since the backup."""

    def __init__(self, restorable: Restorable, data: Path, pds: DevPds, plc: DevPlc) -> None:
        self._restorable, self._data, self._pds = restorable, data, pds
        self.service = Service(data, pds, env=restorable.settings)
        restorable.settings["MASTERTAPE_BASE_URL"] = self.service.url  # of commands
        self.service.start()
        self.artist = Artist(self.service, pds, new_account(pds, plc))

    def begins_again(self) -> None:
        """Put the database back, and start the service on what it is then."""
        self.service.stop()
        self._restorable.put_back()
        self.artist.client.http.close()
        token = self.artist.client.token
        del self._restorable.settings["MASTERTAPE_BASE_URL"]
        self.service = Service(self._data, self._pds, env=self._restorable.settings)
        self._restorable.settings["MASTERTAPE_BASE_URL"] = self.service.url
        self.service.start()
        self.artist.client.http = type(self.artist.client.http)(base_url=self.service.url, timeout=60)
        self.artist.client.http.headers["authorization"] = f"Bearer {token}"

    def takes(self, track: dict[str, Any]) -> Artist:
        self.artist.track_id, self.artist.record_uri = track["id"], track["atproto_record_uri"]
        return self.artist

    def record(self, track: dict[str, Any]) -> dict[str, Any] | None:
        return self.takes(track).record

    def ends(self) -> None:
        self.artist.client.http.close()
        self.service.stop()


@pytest.fixture
def story(restorable: Restorable, tmp_path: Path, pds: DevPds, plc: DevPlc) -> Iterator[Restored]:
    made = Restored(restorable, tmp_path, pds, plc)
    yield made
    made.ends()


def test_a_restore_loses_nothing_that_is_newer_on_the_pds(story: Restored, restorable: Restorable) -> None:
    artist = story.artist
    edited, deleted, same, revived = (artist.uploads(title=f"then {number}") for number in range(4))
    for track in (edited, deleted, same, revived):
        story.takes(track).agreed()
    restorable.types("pause", artist.did)
    artist.client.delete(revived["id"])
    restorable.back_up()

    restorable.types("resume", artist.did)
    story.takes(revived).agreed()
    assert artist.asks(UNDELETE).status_code == 200
    artist.edits(title="revived")
    artist.agreed()
    story.takes(edited).edits(title="newer")
    artist.agreed()
    artist.client.delete(deleted["id"])
    story.takes(deleted).agreed()
    created = artist.uploads(title="created since")
    artist.agreed()
    kept = (edited, same, revived, created)
    newer = {track["id"]: story.record(track) for track in kept}

    story.begins_again()
    restorable.types("resume", artist.did)
    assert "recovered" in artist.client.http.get("/readyz").json()["relay"]
    artist.client.edit(same["id"], title="edited after the restore")
    waits = story.takes(same).mirror
    assert (waits["state"], waits["reason"]) == ("parked", "restored")
    code, recovered = restorable.types("recovered")
    assert (code, recovered["written"], recovered["accounts"], recovered["logins_ended"]) == (0, True, 1, 0)
    assert restorable.types("recovered", "--if-noticed")[1]["written"] is False
    assert {track["id"]: story.record(track) for track in kept} == newer

    code, found = restorable.types("verify", "pds")
    assert code == DRIFT
    kinds = {drift["uri"]: drift["kind"] for drift in found["repos"][0]["drifts"]}
    assert kinds == {
        edited["atproto_record_uri"]: "newer",
        revived["atproto_record_uri"]: "newer",
        deleted["atproto_record_uri"]: "missing",
        created["atproto_record_uri"]: "unknown",
    }
    until(lambda: (story.record(same) or {})["title"] == "edited after the restore")
    assert story.record(same)["mastertapeGen"] > max(record["mastertapeGen"] for record in newer.values())
    for track in (edited, revived, created):
        assert story.record(track) == newer[track["id"]]
    assert story.record(deleted) is None

    story.takes(edited)
    assert artist.mirror["state"] == "held"
    artist.client.http.post(
        f"/tracks/{edited['id']}/mirror/resolve", json={"keep": "theirs"}
    ).raise_for_status()
    assert artist.agreed()["title"] == "newer"
    story.takes(revived)
    assert artist.asks(UNDELETE).status_code == 200
    until(lambda: story.takes(revived).mirror["state"] == "held")
    artist.client.http.post(
        f"/tracks/{revived['id']}/mirror/resolve", json={"keep": "theirs"}
    ).raise_for_status()
    assert artist.agreed()["title"] == "revived"
    assert artist.uploads(title="a new one")["id"] > created["id"]
    artist.agreed()
    code, found = restorable.types("verify", "pds")
    assert [drift["kind"] for drift in found["repos"][0]["drifts"] if drift["kind"] != "missing"] == [
        "unknown"
    ]
