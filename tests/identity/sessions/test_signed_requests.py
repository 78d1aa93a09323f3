"""DPoP proofs: which nonce is used, how often a request is retried, and that each attempt has a new body."""

import asyncio
import base64
import hashlib
import json
from datetime import timedelta

import httpx
import pytest
from pydantic import SecretStr

from aggregates.errors import SessionUnavailableError
from identity.sessions import signed_requests
from identity.sessions.key_pairs import new_signing_key
from identity.sessions.session_store import SessionKind, TokenBinding, Tokens
from tests.identity.sessions.fake_pds import DID, ORIGIN
from tests.identity.sessions.session_rig import new_sessions
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE
PUT, UPLOAD = "com.atproto.repo.putRecord", "com.atproto.repo.uploadBlob"
KEY = new_signing_key()
OTHER_DID = "did:plc:bbbbbbbbbbbbbbbbbbbbbbbb"


class NoncedPds:
    """Accepts only its newest nonce, which a test can change."""

    def __init__(self):
        self.nonce = "n1"
        self.asked = []
        self.bodies = []
        self.after = lambda: None

    async def __call__(self, request):
        body = await request.aread()
        claims = read_proof(request.headers["dpop"])
        self.asked.append((request.url.path.rsplit(".", 1)[-1], claims.get("nonce")))
        self.claims, self.headers = claims, dict(request.headers)
        good = claims.get("nonce") == self.nonce
        if good:
            self.bodies.append(body)
        headers = {"dpop-nonce": self.nonce}
        self.after()
        if not good:
            return httpx.Response(401, json={"error": "use_dpop_nonce"}, headers=headers)
        return httpx.Response(200, json={}, headers=headers)


def read_proof(proof):
    return json.loads(base64.urlsafe_b64decode(proof.split(".")[1] + "=="))


@pytest.fixture
def fake():
    return NoncedPds()


@pytest.fixture
def sessions(database, cipher, hooks, fake, clock):
    return signed_in(database, cipher, hooks, clock, fake)


def signed_in(database, cipher, hooks, clock, answer):
    made = new_sessions(database, cipher, hooks, answer)
    grant = TokenBinding("https://auth.example.com", "client", SecretStr(KEY["d"]), None)
    for did in (DID, OTHER_DID):
        tokens = Tokens(SecretStr("access"), SecretStr("refresh"), "", clock.now + timedelta(hours=1), grant)
        with database.write() as connection:
            made.signed_in(connection, did=did, kind=SessionKind.OAUTH, pds_url=ORIGIN, tokens=tokens)
    return made


def ask(sessions, nsid=PUT, did=DID, **given):
    return asyncio.run(sessions.request(did, "POST", nsid, timeout=5, **given))


def test_the_proof_is_of_this_request_with_this_token_and_the_key_of_the_login(sessions, fake):
    assert ask(sessions, params={"q": "1"}, json={"a": 1}).status_code == 200
    assert (fake.claims["htm"], fake.claims["htu"]) == ("POST", f"{ORIGIN}/xrpc/{PUT}")
    digest = base64.urlsafe_b64encode(hashlib.sha256(b"access").digest()).decode().rstrip("=")
    assert fake.claims["ath"] == digest
    assert fake.headers["authorization"] == "DPoP access"
    header = json.loads(base64.urlsafe_b64decode(fake.headers["dpop"].split(".")[0] + "=="))
    assert header["jwk"]["x"] == KEY["x"]


def test_the_reply_keeps_neither_token_nor_proof(sessions):
    headers = ask(sessions, json={}).request.headers
    assert {"authorization", "dpop"} & headers.keys() == set()


def test_a_nonce_is_taken_from_every_reply(sessions, fake):
    assert ask(sessions, json={}).status_code == 200
    assert fake.asked == [("putRecord", None), ("putRecord", "n1")]
    fake.asked.clear()
    fake.nonce = "n2"
    ask(sessions, json={})
    ask(sessions, json={})
    assert fake.asked == [("putRecord", "n1"), ("putRecord", "n2"), ("putRecord", "n2")]
    assert fake.bodies == [b"{}"] * 3


def test_each_account_has_nonces_of_its_own(sessions, fake):
    ask(sessions, json={})
    fake.asked.clear()
    ask(sessions, did=OTHER_DID, json={})
    assert fake.asked == [("putRecord", None), ("putRecord", "n1")]


def test_a_changing_nonce_is_retried_only_a_few_times(sessions, fake):
    numbers = iter(range(2, 100))

    def change():
        fake.nonce = f"n{next(numbers)}"

    fake.after = change
    assert ask(sessions, json={}).json() == {"error": "use_dpop_nonce"}
    assert len(fake.asked) == 3


def test_a_pds_that_wants_the_nonce_it_has_is_not_asked_again(database, cipher, hooks, clock):
    asked = []

    def answer(request):
        asked.append(request)
        return httpx.Response(401, json={"error": "use_dpop_nonce"}, headers={"dpop-nonce": "n1"})

    assert ask(signed_in(database, cipher, hooks, clock, answer), json={}).status_code == 401
    assert len(asked) == 2


def test_a_nonce_from_a_concurrent_request_is_used(sessions):
    """All are sent without a nonce; a later reply offers the nonce that is already the newest."""

    async def together():
        return await asyncio.gather(
            *(sessions.request(DID, "POST", PUT, json={}, timeout=5) for _ in range(5))
        )

    assert {reply.status_code for reply in asyncio.run(together())} == {200}


def upload(sessions, made, **given):
    def body():
        made.append(1)

        async def chunks():
            yield b"abc"
            yield b"def"

        return chunks()

    headers = {"content-length": "6", "content-type": "audio/mpeg"}
    return ask(sessions, UPLOAD, body=body, headers=headers, **given)


def test_a_stream_is_not_begun_without_a_nonce(sessions, fake):
    made = []
    assert upload(sessions, made).status_code == 200
    assert fake.asked == [("getSession", None), ("getSession", "n1"), ("uploadBlob", "n1")]
    assert (fake.bodies, made) == ([b"", b"abcdef"], [1])


def test_a_stream_is_not_begun_with_an_old_nonce(sessions, fake, monkeypatch):
    upload(sessions, [])
    fake.asked.clear()
    upload(sessions, [])
    assert fake.asked == [("uploadBlob", "n1")]
    monkeypatch.setattr(signed_requests, "FRESH_NONCE_SECONDS", 0.0)
    fake.asked.clear()
    upload(sessions, [])
    assert fake.asked == [("getSession", "n1"), ("uploadBlob", "n1")]


def test_a_stream_that_is_refused_for_its_nonce_is_made_anew(sessions, fake):
    upload(sessions, [])
    fake.nonce, fake.bodies, made = "n2", [], []
    assert upload(sessions, made).status_code == 200
    assert (fake.bodies, made) == ([b"abcdef"], [1, 1])


def test_nonces_do_not_pile_up(monkeypatch):
    monkeypatch.setattr(signed_requests, "MAX_NONCES", 2)
    nonces = signed_requests.Nonces()
    for name in ("a", "b", "a", "c"):
        nonces.take(name, ORIGIN, httpx.Response(200, headers={"dpop-nonce": name}))
    assert [nonces.newest(name, ORIGIN) for name in ("a", "b", "c")] == ["a", None, "c"]


def test_a_session_of_an_unsupported_kind_is_unavailable_and_kept(sessions):
    with pytest.raises(SessionUnavailableError, match="kind oauth"):
        asyncio.run(sessions.refresh(DID, 1))
