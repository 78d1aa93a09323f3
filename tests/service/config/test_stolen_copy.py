"""A stolen database, log or ended cookie opens nothing: every word in it is tried at every route."""

import contextlib
import io
import logging
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from service.cli.serve import asgi
from service.config.settings import Settings
from service.wiring.bootstrap import build
from tests.api.client import TestClient
from tests.media_samples import samples
from tests.servers.databases import ON_SQLITE
from tests.service.one_account import DID, PDS, OneAccount, captured_log, route_pds_requests_to

pytestmark = ON_SQLITE

WORD = re.compile(rb"[A-Za-z0-9_.~+/=-]{12,}")


@pytest.fixture
def internet(monkeypatch: pytest.MonkeyPatch) -> OneAccount:
    made = OneAccount()
    route_pds_requests_to(made, monkeypatch)
    return made


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    sql = logging.getLogger("sqlalchemy.engine")
    with captured_log() as text:
        sql.setLevel(logging.DEBUG)
        yield text
        sql.setLevel(logging.NOTSET)


@pytest.fixture
def victim(settings: Settings, internet: OneAccount) -> Iterator[TestClient]:
    """A service whose artist has signed in, made an API token, and uploaded a track."""
    key = (SecretStr("the key is neither in the database nor in the logs"),)
    made = build(settings.model_copy(update={"secret_keys": key, "rate_limits": False}))
    with TestClient(asgi(made), base_url="http://127.0.0.1:8000") as client:
        body = {"identifier": DID, "password": internet.password, "scope": "write"}
        client.post("/auth/app-password", json=body).raise_for_status()
        client.post("/auth/tokens", json={"name": "a program"}).raise_for_status()
        client.post("/tracks", data={"title": "t"}, files={"file": samples.mp3(1)}).raise_for_status()
        yield client


def opened(client: TestClient, internet: OneAccount, loot: bytes) -> set[str]:
    """Try every word of the loot as a token, as a cookie, and at the PDS; which of them opened something."""
    words = {word.decode() for word in WORD.findall(loot)}
    words |= {part for word in words for part in re.split(r"[.=/+]", word) if len(part) >= 12}
    keys = dict(client.cookies)
    client.cookies.clear()
    try:
        return {word for word in words if _opens(client, internet, word)}
    finally:
        client.cookies.update(keys)


def _opens(client: TestClient, internet: OneAccount, word: str) -> bool:
    bearer = {"Authorization": f"Bearer {word}"}
    ours = [client.get("/me", headers=each) for each in (bearer, {"Cookie": f"mastertape_session={word}"})]
    theirs = [
        internet.pds.answer(
            httpx.Request(method, f"{PDS}/xrpc/com.atproto.server.{nsid}", headers=bearer), b""
        )
        for method, nsid in (("GET", "getSession"), ("POST", "refreshSession"))
    ]
    return any(answer.is_success for answer in (*ours, *theirs))


def test_a_valid_cookie_opens_the_routes(victim: TestClient, internet: OneAccount) -> None:
    """The doors that the thief tries do open, for what opens them."""
    loot = "; ".join(victim.cookies.values()).encode() + b" " + internet.password.encode()
    assert opened(victim, internet, loot) == set(victim.cookies.values())
    assert internet.secrets - {internet.password}
    for secret in internet.secrets - {internet.password}:
        assert opened(victim, internet, secret.encode()), "what the PDS gave us opens the PDS"


def test_a_stolen_database_alone_opens_nothing(
    victim: TestClient, internet: OneAccount, settings: Settings
) -> None:
    path = settings.database_url.removeprefix("sqlite:///")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        loot = "\n".join(connection.iterdump()).encode()
    files = [each.read_bytes() for each in Path(path).parent.glob(Path(path).name + "*")]
    assert b"pds_session" in loot
    assert DID.encode() in loot
    assert opened(victim, internet, loot + _unhexed(loot)) == set()
    for secret in {*internet.secrets, *victim.cookies.values()}:
        assert not any(secret.encode() in each for each in (loot, *files))


def test_stolen_logs_alone_open_nothing(
    logged: io.StringIO, victim: TestClient, internet: OneAccount
) -> None:
    victim.get("/me", headers={"Authorization": "Bearer nonsense"})
    victim.get("/auth/callback", params={"state": "s" * 43, "code": "the-code-of-a-sign-in", "iss": PDS})
    loot = logged.getvalue().encode()
    assert DID.encode() in loot
    assert b"INSERT INTO credential" in loot
    assert b"the-code-of-a-sign-in" not in loot
    assert opened(victim, internet, loot) == set()
    for secret in {*internet.secrets, *victim.cookies.values()}:
        assert secret.encode() not in loot


def test_a_cookie_after_its_logout_opens_nothing(victim: TestClient, internet: OneAccount) -> None:
    stolen = victim.cookies["mastertape_session"]
    assert victim.post("/auth/logout").is_success
    assert not victim.cookies
    assert opened(victim, internet, stolen.encode()) == set()
    for method, path in (("PATCH", "/tracks/1"), ("POST", "/auth/tokens"), ("POST", "/me/disconnect")):
        answer = victim.request(method, path, headers={"Cookie": f"mastertape_session={stolen}"}, json={})
        assert answer.status_code == 401
    held = victim.get("/auth/accounts", headers={"Cookie": f"mastertape_session={stolen}.{stolen}"})
    assert held.json() == {"items": []}


def _unhexed(loot: bytes) -> bytes:
    """SQLite writes bytes as hexadecimals."""
    return b"\n".join(bytes.fromhex(each.decode()) for each in re.findall(rb"X'((?:[0-9a-fA-F]{2})+)'", loot))
