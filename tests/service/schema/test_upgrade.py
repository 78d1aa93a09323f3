"""A rehearsal of an upgrade: from commit 978c166, at revision 0005, on data that the code of that commit made in each database.

upgrade/README.md says how the data were made. The old process is that commit's own, where the clone has it.
"""

import io
import json
import os
import sqlite3
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Self

import httpx
import psycopg
import pytest
from click.testing import CliRunner, Result
from sqlalchemy import insert, make_url, text

from devpds.ports import free_port
from devpds.process import Process
from eventstore.sql.database import Database
from eventstore.sql.schema import track_id_sequence
from eventstore.streams.buckets import BUCKET, BUCKETS, bucket_of
from eventstore.streams.ids import boundary_of, bucket_of_older, next_subject_id
from service.cli.main import main
from service.schema import buckets
from service.schema.migrate import newest, upgrade_database
from storage.cid import cid_of
from storage.stores.disk import DiskStore
from tests.servers.databases import KINDS, revision
from tests.service.command_line import daemon, environment

ROOT = Path(__file__).parents[3]
DATA = Path(__file__).with_name("upgrade")
COMMIT, REVISION = "978c166", "0005"
MAIN = "from service.cli.main import main; main()"
AN_OWNER = "did:plc:alice"
LARGE_ID = 5000
"""Larger than the first id that carries a bucket is in an empty database."""
AWAY = "http://127.0.0.1:1"
KEPT = ("stored_event", "account", "credential", "pds_session", "media", "mirror_target", "delivery_attempt")
"""Tables whose rows an upgrade may add to, and never change."""


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def url(kind: str, request: pytest.FixtureRequest) -> str:
    """A database as the old version left it."""
    url = str(request.getfixturevalue(f"fresh_{kind}"))
    script = (DATA / f"{kind}.sql").read_text()
    if kind == "sqlite":
        with closing(sqlite3.connect(str(make_url(url).database))) as database:
            database.executescript(script)
    else:
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as server:
            server.execute(script.encode())
            # else its new ids say, rightly, that it was restored
            server.execute("delete from public.log_incarnation")
    assert revision(url) == REVISION
    return url


@pytest.fixture
def then(kind: str) -> dict[str, Any]:
    """What the old version answered at its end, with a token of its artist and its key."""
    return dict(json.loads((DATA / f"{kind}.json").read_text()))


@pytest.fixture
def settings(url: str, then: Mapping[str, Any], tmp_path: Path) -> dict[str, object]:
    store = DiskStore(tmp_path / "data/media")
    audio = {cid_of(data): data for data in (f"audio {number}".encode() * 500 for number in (1, 2, 3))}
    for row in rows(url)["media"]:
        data = audio[row["cid"]]
        store.write(row["key"], io.BytesIO(data), len(data), row["mime"])
    return {
        "DATABASE_URL": url,
        "DATA": tmp_path / "data",
        "SECRET_KEYS": then["secret_keys"],
        "PLC_URL": AWAY,
        "DEV_ORIGINS": AWAY,
        "RATE_LIMITS": "off",
    }


def typed(settings: Mapping[str, object], *args: str) -> Result:
    return CliRunner().invoke(main, args, env=environment(settings))


def upgrade(settings: Mapping[str, object]) -> None:
    migrated = typed(settings, "migrate")
    assert migrated.stdout == f"{REVISION} -> {newest()}\n", migrated.output
    assert typed(settings, "rebuild").exit_code == 0


def test_an_upgrade_loses_nothing(
    url: str, settings: dict[str, object], then: Mapping[str, Any], tmp_path: Path
) -> None:
    before = rows(url)
    upgrade(settings)
    after = rows(url)
    for table, kept in before.items():
        assert [
            {name: row[name] for name in old} for old, row in zip(kept, after[table], strict=True)
        ] == kept
    assert typed(settings, "verify", "projections").exit_code == 0
    with daemon(tmp_path / "log", "serve", **settings) as service:
        service.wait_for("mastertape answers on")
        headers = {"Authorization": f"Bearer {then['token']}"}
        for track_id, old in then["tracks"].items():
            new = httpx.get(f"{service.url}/tracks/{track_id}", headers=headers).json()
            assert lasting({name: new[name] for name in old}) == lasting(old)
            history = httpx.get(f"{service.url}/tracks/{track_id}/history?limit=100", headers=headers).json()
            facts = [(row["position"], row["type"], row["changes"]) for row in history["items"]]
            assert facts == [
                (row["position"], row["type"], row["changes"]) for row in then["history"][track_id]
            ]


@pytest.mark.parametrize("kind", KINDS[1:], indirect=True)
def test_a_backup_of_an_older_version_is_upgraded_and_sends_nothing_before_it_is_verified(
    url: str, settings: dict[str, object]
) -> None:
    before = rows(url)
    upgrade(settings)
    recovered = typed(settings, "recovered", "--json")
    assert json.loads(recovered.stdout)["accounts"] > 0
    assert typed(settings, "verify", "projections").exit_code == 0
    after = rows(url)
    assert after["stored_event"][: len(before["stored_event"])] == before["stored_event"]
    assert len(after["delivery_attempt"]) == len(before["delivery_attempt"]) > 0


def test_new_ids_carry_their_bucket_and_older_ones_are_found_in_the_directory(
    url: str, settings: dict[str, object]
) -> None:
    with closing(Database(url)) as database, database.write() as connection:
        # as after an import by an older version, and a track since
        given = [{"id": 4, "did": ""}, {"id": LARGE_ID, "did": "did:plc:bob"}]
        connection.execute(insert(track_id_sequence), given)
    upgrade(settings)
    owners = {row["track_id"]: row["did"] for row in rows(url)["mirror_target"]}
    assert set(owners) == {1, 2, 3, 4}
    owners[LARGE_ID] = "did:plc:bob"
    with closing(Database(url)) as database, database.write() as connection:
        new = next_subject_id(connection, AN_OWNER)
        by_old_process = insert(track_id_sequence).values(did=AN_OWNER).returning(track_id_sequence.c.id)
        owners |= {new: AN_OWNER, connection.execute(by_old_process).scalar_one(): AN_OWNER}
        found = {each: bucket_of_older(connection, each) or each % BUCKETS for each in owners}
    assert found == {each: bucket_of(did) for each, did in owners.items()}
    assert new // BUCKETS > LARGE_ID


def test_all_ids_of_an_empty_database_carry_their_bucket(migrated_url: str) -> None:
    with closing(Database(migrated_url)) as database, database.write() as connection:
        assert (
            next_subject_id(connection, AN_OWNER) == BUCKETS + bucket_of(AN_OWNER) >= boundary_of(connection)
        )


@pytest.mark.history
@pytest.mark.parametrize("kind", KINDS if os.environ.get("TEST_DEEP") else KINDS[1:], indirect=True)
def test_the_old_process_acknowledges_nothing_that_is_lost_and_refuses_politely(
    settings: dict[str, object], then: Mapping[str, Any], old: "Old", tmp_path: Path
) -> None:
    track_id = max(then["tracks"], key=int)
    with old.serving() as edits:
        edits.until(lambda: len(edits.acknowledged) > 3)
        upgrade(settings)
        edits.until(lambda: bool(edits.refused))
        assert edits.refused[-1].status_code == 503
        assert edits.refused[-1].json()["detail"]["error"] == "not_ready"
        assert int(edits.refused[-1].headers["Retry-After"]) > 0
        ready = edits.http.get("/readyz")
        assert (ready.status_code, newest() in ready.text) == (503, True)
    started_again = old.run("serve")
    assert (started_again.returncode, newest() in started_again.stderr) == (1, True)
    with daemon(tmp_path / "log", "serve", **settings) as service:
        service.wait_for("mastertape answers on")
        headers = {"Authorization": f"Bearer {then['token']}"}
        items = map(json.loads, typed(settings, "history", track_id, "--json").stdout.splitlines())
        titles = [change["after"] for row in items for change in row["changes"] if change["field"] == "title"]
        assert set(edits.acknowledged) <= set(titles)
        edited = httpx.patch(f"{service.url}/tracks/{track_id}", json={"title": "After"}, headers=headers)
        assert edited.json()["title"] == "After"


class Old:
    """The service of the old commit, with this environment's libraries."""

    def __init__(self, source: Path, settings: Mapping[str, object], token: str, track_id: str) -> None:
        self._source, self._settings, self._token, self._track_id = source, settings, token, track_id

    def run(self, *args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", MAIN, *args]
        env = self._env(free_port())
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False, cwd=self._source)

    def serving(self) -> "Edits":
        port = free_port()
        process = Process(
            [sys.executable, "-c", MAIN, "serve"],
            log=self._source / "log",
            env=self._env(port),
            cwd=self._source,
        )
        return Edits(process, f"http://127.0.0.1:{port}", self._token, self._track_id)

    def _env(self, port: int) -> dict[str, str]:
        settings = {**self._settings, "PORT": port, "RELAY": "off"}
        return environment(settings) | {"PYTHONPATH": str(self._source / "src")}


class Edits:
    """One edit after the other, at a process that runs during the block."""

    def __init__(self, process: Process, url: str, token: str, track_id: str) -> None:
        self._process, self._path = process, f"/tracks/{track_id}"
        self.http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}, timeout=60)
        self.acknowledged: list[str] = []
        self.refused: list[httpx.Response] = []
        self._ended, self._changed = threading.Event(), threading.Condition()
        self._thread = threading.Thread(target=self._edit)

    def __enter__(self) -> Self:
        self._process.start(self._ready)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._process.stop()
        self.http.close()

    def until(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, timeout=60)

    def _edit(self) -> None:
        number = 0
        while not self._ended.wait(0.02):
            number += 1
            answer = self.http.patch(self._path, json={"title": f"Title {number}"})
            with self._changed:
                if answer.is_success:
                    self.acknowledged.append(f"Title {number}")
                else:
                    self.refused.append(answer)
                self._changed.notify_all()

    def _ready(self) -> bool:
        try:
            return self.http.get("/readyz").is_success
        except httpx.TransportError:
            return False


@pytest.fixture
def old(settings: dict[str, object], then: Mapping[str, Any], tmp_path: Path) -> Old:
    archive = subprocess.run(
        ["git", "archive", COMMIT, "src", "migrations", "lexicons"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    source = tmp_path / "old"
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(source, filter="data")
    return Old(source, settings, then["token"], max(then["tracks"], key=int))


def rows(url: str) -> dict[str, list[dict[str, Any]]]:
    with closing(Database(url)) as database, database.read() as connection:
        queries = {table: text(f"select * from {table} order by 1, 2, 3") for table in KEPT}  # noqa: S608
        return {
            table: [
                {name: value for name, value in row.items() if name != BUCKET}
                for row in connection.execute(query).mappings()
            ]
            for table, query in queries.items()
        }


def lasting(track: dict[str, Any]) -> dict[str, Any]:
    """What depends neither on the port of the service nor on the time."""
    kept = {name: value for name, value in track.items() if not name.endswith("_url")}
    return {**kept, "mirror": {**kept["mirror"], "next_attempt_at": None}}


def test_an_upgrade_that_is_ended_while_it_fills_the_buckets_goes_on(
    url: str, settings: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []

    def ended(database: Database, name: str, *more: Any) -> Any:
        steps.append(name)
        if len(steps) == 4:
            raise KeyboardInterrupt
        return filled(database, name, *more)

    filled = buckets.fill_next
    with monkeypatch.context() as patched:
        patched.setattr(buckets, "fill_next", ended)
        assert typed(settings, "migrate").exit_code != 0
    assert revision(url) == buckets.FROM
    checks = json.loads(typed(settings, "doctor", "--json").stdout)["checks"]
    [schema] = [each["found"] for each in checks if each["name"] == "schema"]
    assert "rows still need their buckets" in schema
    with closing(Database(url)) as database, database.write() as connection:
        of_old_process = "insert into mirror_lane (did, host, state) values ('did:plc:late', '', 'ready')"
        connection.execute(text(of_old_process))
    assert typed(settings, "migrate").exit_code == 0
    assert has_buckets(url)


def has_buckets(url: str) -> bool:
    """Every row of an account has the bucket of its DID."""
    with closing(Database(url)) as database, database.read() as connection:
        owners = {**dict.fromkeys(buckets.TABLES, "did"), "job": "account", "job_turn": "account"}
        dids = [
            row
            for table, owner in owners.items()
            for row in connection.execute(text(f"select {owner}, bucket from {table}"))  # noqa: S608
        ]
    return bool(dids) and all(bucket == bucket_of(did) for did, bucket in dids)


def test_an_upgrade_requests_albums_of_the_texts_that_tracks_have_and_what_waits_goes_on_waiting(
    url: str, settings: dict[str, object]
) -> None:
    waiting = "kind, subject, account, bucket, due, actor, via, request_id, requested_at"
    a_like = f"'reaction', '12/3', '{AN_OWNER}', {bucket_of(AN_OWNER)}, :at, 'relay', 'job', 'r', :at"
    with closing(Database(url)) as database:
        with database.write() as connection:
            connection.execute(text("update tracks set album = 'Before' where deleted_at is null"))
            dids = set(connection.scalars(text("select did from tracks where deleted_at is null")))
        upgrade_database(database, "0039")
        with database.write() as connection:
            at = connection.scalar(text("select max(recorded_at) from stored_event"))
            connection.execute(text(f"insert into job ({waiting}) values ({a_like})"), {"at": at})  # noqa: S608
    assert typed(settings, "migrate").exit_code == 0
    with closing(Database(url)) as database, database.read() as connection:
        jobs = connection.execute(text("select account, state from job where kind = 'album_texts'")).all()
        likes = connection.scalars(text("select subject from job where kind = 'reaction'")).all()
    assert dids
    assert sorted(jobs) == [(did, "waiting") for did in sorted(dids)]
    assert "like/12/3" in likes
    assert "12/3" not in likes
