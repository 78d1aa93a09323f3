"""The runbook of docs/security.md for SECRET_KEYS, followed step by step; that for OAUTH_KEYS is tests/e2e/oauth_production.py."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from click.testing import CliRunner
from pydantic import SecretStr
from sqlalchemy import select

from identity.sessions.session_store import ReencryptionReport, pds_session
from outbox.mirror.states import LaneState
from outbox.mirror.tables import mirror_lane
from service.cli.main import main
from service.cli.preparing import prepare
from service.cli.serve import asgi
from service.config.settings import PREFIX, Settings, SettingsError
from service.wiring.bootstrap import Container, build
from tests.api.client import TestClient
from tests.fake_pds.internet import FakeInternet
from tests.servers.databases import ON_SQLITE
from tests.service.one_account import route_pds_requests_to

pytestmark = ON_SQLITE

DIDS = ["did:plc:" + letter * 24 for letter in "ab"]
RESEALED = {"logins": 2, "resealed": 0, "lost": 0, "ended": 0}
OLD, NEW = "the old secret " + "o" * 32, "the new secret " + "n" * 32

Serve = Callable[..., Iterator[TestClient]]


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> FakeInternet:
    made = FakeInternet("https://pds.example.com")
    route_pds_requests_to(made, monkeypatch)
    return made


@contextmanager
def served(settings: Settings, *keys: str) -> Iterator[tuple[TestClient, Container]]:
    secrets = tuple(SecretStr(key) for key in keys)
    made = build(settings.model_copy(update={"secret_keys": secrets, "rate_limits": False, "relay": False}))
    with TestClient(asgi(made), base_url="http://127.0.0.1:8000") as client:
        yield client, made


def sign_in(client: TestClient, did: str, password: str) -> None:
    client.post("/auth/app-password", json={"identifier": did, "password": password}).raise_for_status()


async def use(made: Container, did: str) -> int:
    reply = await made.sessions.request(did, "GET", "com.atproto.server.getSession", timeout=30)
    return reply.status_code


def statuses(client: TestClient, made: Container) -> list[int]:
    assert client.portal is not None
    return [client.portal.call(use, made, did) for did in DIDS]


def resealed(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, *keys: str, options: tuple[str, ...] = ()
) -> tuple[int, dict[str, int]]:
    """Type `mastertape reseal --json`."""
    monkeypatch.setenv(f"{PREFIX}DATA", str(settings.data))
    monkeypatch.setenv(f"{PREFIX}DATABASE_URL", settings.database_url)
    monkeypatch.setenv(f"{PREFIX}SECRET_KEYS", ",".join(keys))
    done = CliRunner().invoke(main, ["reseal", "--json", *options])
    report = json.loads(done.stdout)
    assert report.pop("written") is ("--dry-run" not in options)
    return done.exit_code, report


def test_a_rotation_of_secret_keys_ends_no_session(
    settings: Settings, internet: FakeInternet, monkeypatch: pytest.MonkeyPatch
) -> None:
    [pds] = internet.pdses
    passwords = [internet.settle(did, f"{did[-1]}.example.com", pds) for did in DIDS]
    with served(settings, OLD) as (client, made):
        for did, password in zip(DIDS, passwords, strict=True):
            sign_in(client, did, password)
        assert statuses(client, made) == [200, 200]
    with served(settings, NEW, OLD) as (client, made):  # 1: the new one in front, everywhere
        assert statuses(client, made) == [200, 200]
        pds.tokens.expire(DIDS[0])
        assert statuses(client, made) == [200, 200]  # a login that is renewed is sealed anew by itself
    for _ in range(2):
        counted = resealed(settings, monkeypatch, NEW, OLD, options=("--dry-run",))
        assert counted == (0, {"logins": 2, "resealed": 1, "lost": 0, "ended": 0})
    assert resealed(settings, monkeypatch, NEW, OLD) == (0, RESEALED | {"resealed": 1})  # 2
    assert resealed(settings, monkeypatch, NEW, OLD) == (0, RESEALED)
    with served(settings, NEW) as (client, made):  # 3: the old one is gone
        assert statuses(client, made) == [200, 200]
        cookies = client.get("/auth/accounts")
        assert cookies.is_success


def test_a_lost_key_is_reported_and_costs_a_sign_in(
    settings: Settings, internet: FakeInternet, monkeypatch: pytest.MonkeyPatch
) -> None:
    [pds] = internet.pdses
    passwords = [internet.settle(did, f"{did[-1]}.example.com", pds) for did in DIDS]
    with served(settings, OLD) as (client, _):
        sign_in(client, DIDS[0], passwords[0])
    with served(settings, NEW) as (client, made):
        sign_in(client, DIDS[1], passwords[1])
        with made.database.read() as connection:
            assert len(connection.execute(select(pds_session)).all()) == 2
    assert resealed(settings, monkeypatch, NEW) == (1, RESEALED | {"lost": 1})
    ended = resealed(settings, monkeypatch, NEW, options=("--end-lost",))
    assert ended == (0, RESEALED | {"lost": 1, "ended": 1})
    with served(settings, NEW) as (client, made):
        sign_in(client, DIDS[0], passwords[0])
        assert statuses(client, made) == [200, 200]


def test_a_login_that_has_just_replaced_a_lost_one_keeps_its_lane(
    settings: Settings, internet: FakeInternet, monkeypatch: pytest.MonkeyPatch
) -> None:
    [pds] = internet.pdses
    password = internet.settle(DIDS[0], "a.example.com", pds)
    with served(settings, NEW) as (client, _):
        sign_in(client, DIDS[0], password)
    generation_before = 0
    found = ReencryptionReport(1, 0, [(DIDS[0], generation_before)])
    monkeypatch.setattr("service.cli.keys.reencrypt_logins", lambda *_, **__: found)
    ended = resealed(settings, monkeypatch, NEW, options=("--end-lost",))
    assert ended == (1, RESEALED | {"logins": 1, "lost": 1})
    with served(settings, NEW) as (_, made), made.database.read() as connection:
        assert connection.scalars(select(mirror_lane.c.state)).all() == [LaneState.READY]


def test_a_start_with_keys_that_open_no_login_is_refused_in_a_line(
    settings: Settings, internet: FakeInternet, monkeypatch: pytest.MonkeyPatch
) -> None:
    [pds] = internet.pdses
    password = internet.settle(DIDS[0], "a.example.com", pds)
    with served(settings, OLD) as (client, _):
        sign_in(client, DIDS[0], password)

    with pytest.raises(SettingsError, match="decrypt none of the logins"):
        prepare(settings.model_copy(update={"secret_keys": (SecretStr(NEW),)}), relay=False)
    for name, value in {
        "DATA": settings.data,
        "DATABASE_URL": settings.database_url,
        "SECRET_KEYS": NEW,
    }.items():
        monkeypatch.setenv(PREFIX + name, str(value))
    refused = CliRunner().invoke(main, ["migrate"])
    assert (refused.exit_code, "decrypt none of the logins" in refused.output) == (1, True)

    prepare(
        settings.model_copy(update={"secret_keys": (SecretStr(NEW), SecretStr(OLD))}), relay=False
    ).log.close()
