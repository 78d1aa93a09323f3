"""Each periodic job is run by one process, when it is due."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from unittest.mock import Mock

import pytest
from pydantic import SecretStr
from sqlalchemy import insert, select, update

from eventstore.idempotency import idempotency
from eventstore.jobs import queue
from eventstore.jobs.kinds import PERIODIC
from identity.accounts.credentials import CredentialKind, credential, revoke_usable
from identity.sessions.session_store import SessionKind, Tokens, pds_session
from service.process.jobs import JOBS, PeriodicJob, request_periodic
from service.wiring.bootstrap import Container
from storage.cid import CidHasher
from storage.media import media
from tests.identity.sessions.fake_pds import DID
from tests.servers.databases import ON_SQLITE
from tests.service.process.periodic import make_due, run_if_due

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


HOUR = timedelta(hours=1)


@ON_SQLITE
def test_failure_of_a_job_is_logged(container: Container, caplog: pytest.LogCaptureFixture) -> None:
    broken = PeriodicJob("sweep_media", HOUR, Mock(side_effect=ZeroDivisionError))
    assert not run_if_due(container, broken)
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == ["job_failed"]
    make_due(container)
    assert run_if_due(container, replace(broken, run=lambda _: None))
    assert not run_if_due(container, broken)


def test_a_process_of_an_older_release_leaves_periodic_jobs_that_it_does_not_know(
    container: Container,
) -> None:
    ran = Mock()
    older, newer = PeriodicJob("old", HOUR, lambda _: None), PeriodicJob("new", HOUR, ran)
    request_periodic(container.database, [newer.name])
    assert run_if_due(container, older)
    ran.assert_not_called()
    with container.database.read() as connection:
        row = queue.job_of(connection, PERIODIC, newer.name)
    assert row is not None
    assert (row.state, row.attempts, row.began_at) == ("waiting", 0, None)
    assert run_if_due(container, newer)
    ran.assert_called_once()


def test_a_periodic_job_that_this_release_has_removed_is_deleted(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    request_periodic(container.database, ["removed"])
    monkeypatch.setattr("service.process.jobs.REMOVED", ("removed",))
    assert run_if_due(container, PeriodicJob("known", HOUR, lambda _: None))
    with container.database.read() as connection:
        assert queue.job_of(connection, PERIODIC, "removed") is None


def job(name: str) -> Callable[[Container], None]:
    (found,) = (each.run for each in JOBS if each.name == name)
    return found


@ON_SQLITE
def test_sweep_deletes_what_nothing_has_named_for_the_grace_period(container: Container) -> None:
    hasher = CidHasher()
    hasher.update(b"old")
    container.media.add(hasher.cid, BytesIO(b"old"), 3, "audio/mpeg")
    job("sweep_media")(container)
    assert container.media.find(hasher.cid) is not None
    with container.database.write() as connection:
        long_ago = container.database.now(connection) - timedelta(days=31)
        connection.execute(update(media).values(touched_at=long_ago))
    job("sweep_media")(container)
    assert container.media.find(hasher.cid) is None


def test_expired_results_are_deleted(container: Container) -> None:
    with container.database.write() as connection:
        now = container.database.now(connection)
        for key, age in (("old", timedelta(hours=25)), ("new", timedelta(hours=23))):
            connection.execute(
                insert(idempotency).values(
                    did="did:plc:a", method="POST", route="/tracks", key=key, digest="", status=201,
                    body={}, headers={}, created_at=now - age,
                )
            )  # fmt: skip
    job("forget_answers")(container)
    with container.database.read() as connection:
        assert connection.scalars(select(idempotency.c.key)).all() == ["new"]


def test_long_ended_credentials_are_deleted(container: Container) -> None:
    credentials = container.services.credentials

    def token(name: str, expires_in: timedelta | None) -> str:
        with container.database.write() as connection:
            issued = credentials.issue(
                connection, did="did:plc:a", kind=CredentialKind.API, name=name, expires_in=expires_in
            )
        return issued.id

    def revoke(credential_id: str) -> None:
        with container.database.write() as connection:
            now = container.database.now(connection)
            assert revoke_usable(connection, did="did:plc:a", only=credential_id, now=now)

    token("for ever", None)
    token("expired", timedelta(days=-29))
    token("long expired", timedelta(days=-31))
    revoke(token("revoked", None))
    revoke(token("long revoked", None))
    with container.database.write() as connection:
        long_ago = container.database.now(connection) - timedelta(days=31)
        connection.execute(
            update(credential).where(credential.c.name == "long revoked").values(revoked_at=long_ago)
        )
    job("forget_credentials")(container)
    with container.database.read() as connection:
        assert set(connection.scalars(select(credential.c.name))) == {"for ever", "expired", "revoked"}


@ON_SQLITE
def test_a_failed_refresh_of_an_idle_login_keeps_the_login(container: Container) -> None:
    login = {"did": DID, "kind": SessionKind.APP_PASSWORD, "pds_url": "https://127.0.0.1"}
    tokens = Tokens(SecretStr("access"), SecretStr("refresh"), "", None)
    with container.database.write() as connection:
        container.sessions.signed_in(connection, **login, tokens=tokens)
        connection.execute(update(pds_session).values(updated_at=NOW - timedelta(days=365)))
    assert run_if_due(container, next(job for job in JOBS if job.name == "keep_logins_alive"))
    with container.database.read() as connection:
        row = connection.execute(select(pds_session)).one()
    assert (row.status, row.refresh_until) == ("active", None)
    assert "UnsafeAddressError" in row.last_error
