"""Each periodic job is done by one process, when it is due."""

import asyncio
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from functools import partialmethod
from io import BytesIO
from pathlib import Path
from threading import Barrier, Thread

import pytest
from pydantic import SecretStr
from sqlalchemy import insert, make_url, select, update

from eventstore.database import Database
from eventstore.idempotency.results import idempotency
from identity.accounts.credentials import CredentialKind, credential
from identity.sessions.pds_sessions import PdsSessions
from identity.sessions.session_store import SessionKind, pds_session
from identity.sessions.tokens import Tokens
from service.config.settings import Settings
from service.process import jobs
from service.process.jobs import JOBS, Job
from service.process.scheduler import run_if_due, scheduled
from service.schema.job_lease import JobLeases
from service.wiring.bootstrap import Application, build
from storage.cid import CidHasher
from storage.media import media
from tests.eventstore.threads import until
from tests.identity.sessions.fake_pds import DID, FakePds, served

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(migrated_url: str, clock: Clock) -> Database:
    return Database(migrated_url, clock=clock)


def test_one_of_many_gets_the_job(database: Database) -> None:
    got: list[str] = []
    together = Barrier(6)

    def try_it(owner: str) -> None:
        together.wait()
        with JobLeases(database, owner).held("sweep", at_most=HOUR, every=HOUR) as ours:
            if ours:
                got.append(owner)
                time.sleep(0.05)

    threads = [Thread(target=try_it, args=[f"process {number}"]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1
    database.close()


@pytest.mark.parametrize(("later", "due"), [(timedelta(minutes=59), False), (timedelta(minutes=60), True)])
def test_job_is_due_again_an_interval_after_it_began(
    database: Database, clock: Clock, later: timedelta, due: bool
) -> None:
    with JobLeases(database, "one").held("sweep", at_most=2 * HOUR, every=HOUR) as ours:
        assert ours
    clock.now += later
    with JobLeases(database, "other").held("sweep", at_most=2 * HOUR, every=HOUR) as ours:
        assert ours is due
    database.close()


def test_job_that_failed_is_due_at_once(database: Database) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        JobLeases(database, "one").held("sweep", at_most=HOUR, every=HOUR),
    ):
        raise ZeroDivisionError
    with JobLeases(database, "other").held("sweep", at_most=HOUR, every=HOUR) as ours:
        assert ours
    database.close()


def test_job_of_a_dead_process_is_taken_over(database: Database, clock: Clock) -> None:
    dead = JobLeases(database, "dead").held("sweep", at_most=2 * HOUR, every=HOUR)
    assert dead.__enter__()
    with JobLeases(database, "other").held("sweep", at_most=HOUR, every=HOUR) as ours:
        assert not ours
    clock.now += 2 * HOUR
    with JobLeases(database, "other").held("sweep", at_most=HOUR, every=HOUR) as ours:
        assert ours
    dead.__exit__(None, None, None)  # it was only asleep: what it says now counts no more
    clock.now += HOUR - timedelta(seconds=1)
    with JobLeases(database, "third").held("sweep", at_most=HOUR, every=HOUR) as ours:
        assert not ours
    database.close()


def test_failure_of_a_job_is_logged(application: Application, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_application: Application) -> None:
        raise ZeroDivisionError

    assert not run_if_due(application, Job("broken", every=HOUR, at_most=HOUR, run=fail))
    assert [record.message for record in caplog.records] == ["job_failed"]
    assert run_if_due(application, Job("broken", every=HOUR, at_most=HOUR, run=lambda _: None))


def job(name: str) -> Callable[[Application], None]:
    (found,) = (each.run for each in JOBS if each.name == name)
    return found


def test_sweep_deletes_what_nothing_has_named_for_the_grace_period(application: Application) -> None:
    hasher = CidHasher()
    hasher.update(b"old")
    application.media.add(hasher.cid, BytesIO(b"old"), 3, "audio/mpeg")
    job("sweep_media")(application)
    assert application.media.find(hasher.cid) is not None
    with application.database.write() as connection:
        long_ago = application.database.now(connection) - timedelta(days=31)
        connection.execute(update(media).values(touched_at=long_ago))
    job("sweep_media")(application)
    assert application.media.find(hasher.cid) is None


def test_old_answers_are_forgotten(application: Application) -> None:
    with application.database.write() as connection:
        now = application.database.now(connection)
        for key, age in (("old", timedelta(hours=25)), ("new", timedelta(hours=23))):
            connection.execute(
                insert(idempotency).values(
                    did="did:plc:a", method="POST", route="/tracks", key=key, digest="", status=201,
                    body={}, headers={}, created_at=now - age,
                )
            )  # fmt: skip
    job("forget_answers")(application)
    with application.database.read() as connection:
        assert connection.scalars(select(idempotency.c.key)).all() == ["new"]


def test_long_ended_credentials_are_forgotten(application: Application) -> None:
    credentials = application.services.credentials

    def token(name: str, expires_in: timedelta | None) -> str:
        with application.database.write() as connection:
            issued = credentials.issue(
                connection, did="did:plc:a", kind=CredentialKind.API, name=name, expires_in=expires_in
            )
        return issued.id

    def revoke(credential_id: str) -> None:
        with application.database.write() as connection:
            assert credentials.revoke(connection, did="did:plc:a", credential_id=credential_id)

    token("for ever", None)
    token("expired", timedelta(days=-29))
    token("long expired", timedelta(days=-31))
    revoke(token("revoked", None))
    revoke(token("long revoked", None))
    with application.database.write() as connection:
        long_ago = application.database.now(connection) - timedelta(days=31)
        connection.execute(
            update(credential).where(credential.c.name == "long revoked").values(revoked_at=long_ago)
        )
    job("forget_credentials")(application)
    with application.database.read() as connection:
        assert set(connection.scalars(select(credential.c.name))) == {"for ever", "expired", "revoked"}


def test_scheduler_starts_and_stops(application: Application) -> None:
    with scheduled(application):
        pass


def test_a_scan_is_left_to_others_when_the_process_is_to_end(
    application: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hangs(_application: Application) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(jobs, "_scan", hangs)
    application.ending.set()
    assert run_if_due(application, jobs.scanning(application.settings))


def keep_an_unused_login(application: Application, pds_url: str, tokens: Tokens) -> None:
    with application.database.write() as connection:
        application.sessions.signed_in(
            connection, did=DID, kind=SessionKind.APP_PASSWORD, pds_url=pds_url, tokens=tokens
        )
        connection.execute(update(pds_session).values(updated_at=NOW - timedelta(days=365)))


def test_a_process_that_ends_leaves_logins_to_others_though_the_database_takes_no_tokens(
    tmp_path: Path, migrated_sqlite: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("eventstore.database.SQLITE_BUSY_SECONDS", 0.1)
    monkeypatch.setattr(PdsSessions, "finish", partialmethod(PdsSessions.finish, timeout=0.1))
    fake, file = FakePds(), str(make_url(migrated_sqlite).database)
    with (
        closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as other,
        served(fake) as origin,
    ):
        settings = Settings(data=tmp_path / "data", database_url=migrated_sqlite, dev_origins=(origin,))
        application = build(settings)
        tokens = Tokens(SecretStr(fake.access), SecretStr(fake.refresh), "", None)
        keep_an_unused_login(application, origin, tokens)
        fake.before_refresh = lambda: other.execute("BEGIN IMMEDIATE")

        keeping = Thread(target=job("keep_logins_alive"), args=[application], daemon=True)
        keeping.start()
        until(lambda: "not_written_yet" in caplog.messages)
        application.ending.set()

        keeping.join(30)
        assert not keeping.is_alive()
    asyncio.run(application.close())


def test_a_login_that_nobody_uses_is_tried_without_harm_while_its_pds_is_away(
    application: Application,
) -> None:
    job = next(job for job in JOBS if job.name == "keep_logins_alive")
    tokens = Tokens(SecretStr("access"), SecretStr("refresh"), "", None)
    keep_an_unused_login(application, "https://127.0.0.1", tokens)
    assert run_if_due(application, job)
    with application.database.read() as connection:
        row = connection.execute(select(pds_session)).one()
    assert (row.status, row.refresh_until) == ("active", None)
    assert "UnsafeAddressError" in row.last_error
