"""Processes of the release before and of this one, on one database, as during an upgrade: whatever either acknowledges arrives, and neither undoes what only the other knows."""

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from sqlalchemy import select

import demo.service
from demo.service import Client
from devpds.server import DevPds, DevPlc
from eventstore.jobs import queue
from eventstore.jobs.kinds import PERIODIC, Wanted
from eventstore.jobs.table import JobState, job
from eventstore.sql.database import Database
from outbox.mirror.tables import delivery_attempt, mirror_lane
from service.process.jobs import JOBS
from tests.e2e.artist import Artist
from tests.e2e.conftest import DEEP
from tests.servers.atproto import new_account
from tests.servers.preloaded import Service
from tests.service.command_line import run

pytestmark = [
    *(pytest.mark.pds, pytest.mark.postgres, pytest.mark.history),
    pytest.mark.skipif(
        not DEEP, reason="half a minute: tests/outbox/relay/test_newer_release.py is its short form"
    ),
]

ROOT = Path(__file__).parents[2]
COMMIT = "9ce7f3ed"
"""Of a clone without tags."""
MAIN = "from service.cli.main import main; main()"
EDITS = 6
DREAM = "dream"
"""What neither release knows."""


def release_before() -> str:
    tags = subprocess.run(
        ["git", "tag", "--sort=-creatordate"],  # noqa: S607
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return next(iter(tags.stdout.split()), COMMIT)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    command = ["git", "archive", release_before(), "src", "migrations", "lexicons"]
    archive = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(tmp_path / "source", filter="data")
    return tmp_path / "source/src"


@pytest.fixture
def settings(fresh_postgres: str, tmp_path: Path, pds: DevPds) -> dict[str, str]:
    return {
        "MASTERTAPE_DATABASE_URL": fresh_postgres,
        "MASTERTAPE_MEDIA": f"disk:{tmp_path}/media",
        "MASTERTAPE_SECRET_KEYS": "k" * 40,
        "MASTERTAPE_DEV_ORIGINS": pds.url,
    }


@pytest.fixture
def old(source: Path, settings: dict[str, str], tmp_path: Path, pds: DevPds) -> Iterator[Service]:
    env, program = {**settings, "PYTHONPATH": str(source)}, (sys.executable, "-c", MAIN)
    subprocess.run([*program, "migrate"], env={**os.environ, **env}, check=True, capture_output=True)
    service = demo.service.Service(tmp_path / "old", pds, program=program, env=env)
    service.start()
    yield service
    service.stop()


@pytest.fixture
def artists(old: Service, pds: DevPds, plc: DevPlc) -> Iterator[list[Artist]]:
    """Some who have signed in at the old process."""
    found = [Artist(old, pds, new_account(pds, plc)) for _ in range(2)]
    for artist in found:
        artist.uploads()
        artist.agreed()
    yield found
    for artist in found:
        artist.client.http.close()


@pytest.fixture
def new(
    old: Service,
    artists: list[Artist],  # noqa: ARG001 - they are there before the upgrade
    settings: dict[str, str],
    tmp_path: Path,
    pds: DevPds,
) -> Iterator[Service]:
    """The process of this release, after the upgrade."""
    names = {name.removeprefix("MASTERTAPE_"): value for name, value in settings.items()}
    for command in ("migrate", "rebuild"):
        done = run(command, **names, DATA=tmp_path / "new")
        assert done.returncode == 0, done.stderr
    service = Service(tmp_path / "new", pds, env={**settings, "MASTERTAPE_BASE_URL": old.url})
    service.start()
    yield service
    service.stop()


def test_both_deliver_what_either_acknowledges_and_leave_what_only_the_other_knows(
    artists: list[Artist], new: Service, settings: dict[str, str]
) -> None:
    with (
        ExitStack() as stack,
        closing(Database(settings["MASTERTAPE_DATABASE_URL"], pool_size=1)) as database,
    ):
        with database.write() as connection:
            unknown = [Wanted(DREAM, DREAM), Wanted(PERIODIC, DREAM)]
            queue.request(connection, unknown, database.now(connection))
        others = [
            stack.enter_context(closing(Client(new.url, each.did, each.account.app_password).http))
            for each in artists
        ]
        for number in range(EDITS):
            for artist, other in zip(artists, others, strict=True):
                edit = {"title": f"take {number}"}
                answer = artist.client.http.patch(f"/tracks/{artist.track_id}", json=edit)
                if number % 2 or answer.status_code == 503:  # it takes none where a read model has changed
                    answer = other.patch(f"/tracks/{artist.track_id}", json=edit)
                assert answer.status_code == 200, answer.text
        for artist in artists:
            record = artist.agreed()
            assert record is not None
            assert record["title"] == f"take {EDITS - 1}"
        with database.read() as connection:
            outcomes = set(connection.scalars(select(delivery_attempt.c.outcome)))
            failures = set(connection.scalars(select(mirror_lane.c.failures)))
            jobs = {(row.kind, row.subject): row for row in connection.execute(select(job))}
    assert (outcomes, failures) == ({"done"}, {0})
    assert JobState.FAILED not in {row.state for row in jobs.values()}
    assert {row.problem for row in jobs.values()} == {None}
    assert jobs[DREAM, DREAM].attempts == jobs[PERIODIC, DREAM].attempts == 0
    assert jobs.keys() >= {(PERIODIC, each.name) for each in JOBS}
