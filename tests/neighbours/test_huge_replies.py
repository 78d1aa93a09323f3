"""Whatever a PDS replies, it is judged as before, costs little memory, and keeps no other account waiting."""

import gzip
import json
from base64 import urlsafe_b64encode
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, closing
from typing import Any

import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import select

from eventstore.event_log import EventLog
from eventstore.sql.database import Database
from identity.errors import IdentityUnreachableError
from identity.resolution.address_policy import AddressPolicy, public_client
from identity.sessions.app_password_grants import create_session
from identity.sessions.encryption import Cipher
from identity.sessions.pds_sessions import PdsSessions
from identity.sessions.session_store import SessionKind, Tokens
from outbox.mirror.states import BreakerState
from outbox.mirror.tables import pds_host
from outbox.pds.client import Pds, RecordKey
from outbox.pds.verdict import Kind, Scope
from outbox.record.dag_cbor import record_cid
from outbox.relay.result import Outcome
from tests.dsl import ALICE, BOB, COLLECTION
from tests.neighbours.hostile_pds import (
    MAX_STALL_SECONDS,
    MB,
    Answer,
    endless,
    hostile_pds,
    many,
    watched_loop,
)
from tests.outbox.rigs.foreign_writes import request_verify
from tests.outbox.rigs.relay_rig import Rig
from tests.servers.databases import ON_SQLITE

pytestmark = pytest.mark.anyio

KEY = RecordKey(ALICE, COLLECTION, "3kaaaaaaaaa2a")
CID = record_cid({"$type": COLLECTION})
MAX_BYTES_SENT = 16 * MB
"""The limit of a reply, and what the connection buffers."""


@asynccontextmanager
async def client_of(url: str, answer: Answer) -> AsyncGenerator[tuple[Pds, Any]]:
    """The whole client as the service makes it, with a login at a hostile PDS."""
    with closing(Database(url)) as database:
        async with hostile_pds(answer) as hostile, public_client(AddressPolicy([hostile.url])) as http:
            sessions = PdsSessions(
                EventLog(database),
                Cipher(["k" * 40]),
                http,
                on_reauth=lambda *_: None,
                on_signed_in=lambda *_: None,
            )
            tokens = Tokens(SecretStr("a"), SecretStr("r"), "", None)
            with database.write() as connection:
                sessions.signed_in(
                    connection, did=ALICE, kind=SessionKind.APP_PASSWORD, pds_url=hostile.url, tokens=tokens
                )
            yield Pds(sessions, http), hostile
        database.close()


WRITTEN = b'{"cid":"' + CID.encode() + b'","commit":{"rev":"3k"}'
NAMED = b'{"error":"InvalidRequest","message":"x"'
ANSWERS = {
    "endless": lambda: endless(WRITTEN + b',"junk":['),
    "an announced length": lambda: Answer(WRITTEN, length=10**12),
    "many values": lambda: Answer(WRITTEN + b',"junk":' + many(b"[]", 60_000) + b"}"),
    "deeply nested": lambda: Answer(WRITTEN + b',"junk":' + b"[" * 30_000 + b"]" * 30_000 + b"}"),
    "no UTF-8": lambda: Answer(WRITTEN + b',"junk":"\xff"}'),
    "it ends early": lambda: Answer(WRITTEN, length=500),
    "a bomb": lambda: Answer(
        gzip.compress(WRITTEN + b',"junk":"' + bytes(64 * MB) + b'"}'), headers={"content-encoding": "gzip"}
    ),
    "a redirect": lambda: Answer(b"", 302, {"location": "http://127.0.0.1:1/"}),
    "a huge error": lambda: endless(NAMED + b',"junk":[', 400),
    "a huge refusal of the login": lambda: endless(NAMED, 401),
}


@pytest.mark.parametrize("make", ANSWERS.values(), ids=ANSWERS)
@ON_SQLITE
async def test_an_answer_to_a_write_that_cannot_be_read_leaves_its_outcome_unknown(
    make: Callable[[], Answer], migrated_url: str
) -> None:
    async with client_of(migrated_url, make()) as (pds, hostile), watched_loop() as stall:
        verdict = await pds.put(hostile.url, KEY, {"$type": COLLECTION}, swap=None, timeout=20)
        deleted = await pds.delete(hostile.url, KEY, swap=CID, timeout=20)
    assert (verdict.kind, verdict.scope) == (Kind.AMBIGUOUS, Scope.HOST)
    assert deleted.kind is Kind.AMBIGUOUS
    assert hostile.sent < 2 * MAX_BYTES_SENT
    assert stall.longest < MAX_STALL_SECONDS


@ON_SQLITE
async def test_a_huge_answer_of_a_busy_pds_still_says_until_when_to_wait(migrated_url: str) -> None:
    answer = endless(b'{"error":"RateLimitExceeded"', 429)
    async with client_of(migrated_url, answer) as (pds, hostile):
        verdict = await pds.put(hostile.url, KEY, {"$type": COLLECTION}, swap=None, timeout=20)
    assert (verdict.kind, verdict.status) == (Kind.PACED, 429)


READ = b'{"uri":"at://x","cid":"' + CID.encode() + b'","value":{"$type":"fm.plyr.track"'


@pytest.mark.parametrize(
    "answer",
    [
        Answer(READ + b',"junk":' + many(b"[]", 900_000) + b"}}"),
        endless(READ + b',"junk":['),
        Answer(READ, length=10**12),
    ],
    ids=["many values", "endless", "an announced length"],
)
@ON_SQLITE
async def test_a_record_that_is_too_large_concerns_no_other_record(answer: Answer, migrated_url: str) -> None:
    async with client_of(migrated_url, answer) as (pds, hostile), watched_loop() as stall:
        verdict = await pds.read_record(hostile.url, KEY, timeout=20)
    assert (verdict.kind, verdict.scope, verdict.host_is_well) == (Kind.AMBIGUOUS, Scope.RECORD, True)
    assert hostile.sent < MAX_BYTES_SENT
    assert stall.longest < MAX_STALL_SECONDS


@ON_SQLITE
async def test_a_record_of_a_megabyte_of_text_is_read(migrated_url: str) -> None:
    record = {"$type": COLLECTION, "lyrics": "la, " * 10_000 + "\n" * 900_000}
    answer = Answer(json.dumps({"uri": KEY.uri, "cid": CID, "value": record}).encode())
    async with client_of(migrated_url, answer) as (pds, hostile):
        assert (await pds.get(hostile.url, KEY)).body == record


@pytest.mark.parametrize(
    "answer",
    [
        {"active": True, "junk": [[]] * 15_000},
        {"active": True, "junk": "x" * 300_000},
    ],
    ids=["many values", "large"],
)
@ON_SQLITE
async def test_the_status_of_an_account_is_unknown_after_an_answer_that_is_too_large(
    answer: dict[str, Any], migrated_url: str
) -> None:
    async with client_of(migrated_url, Answer(json.dumps(answer).encode())) as (pds, hostile):
        assert (await pds.account_status(hostile.url, ALICE)).name == "UNKNOWN"


@ON_SQLITE
async def test_an_honest_account_is_delivered_beside_one_whose_replies_are_huge(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    send, junk = rig.wire.request, many(b"[]", 15 * MB)

    async def request(did: str, *args: Any, **given: Any) -> httpx.Response:
        reply = await send(did, *args, **given)
        content = reply.content if did == BOB else reply.content[:-1] + b',"junk":' + junk + b"}"
        return httpx.Response(reply.status_code, content=content)

    monkeypatch.setattr(rig.wire, "request", request)
    rig.sign_in(BOB)
    rig.upload(1)
    honest = rig.upload(2, did=BOB)
    async with watched_loop() as stall:
        outcomes = await rig.relay_once()
    assert outcomes == {Outcome.FAILED: 1, Outcome.DELIVERED: 1}
    assert rig.pds.get_record(BOB, COLLECTION, honest.rkey)
    assert stall.longest < MAX_STALL_SECONDS


@ON_SQLITE
async def test_records_that_cannot_be_read_back_never_stop_an_honest_host(rig: Rig) -> None:
    rig.sign_in(BOB)
    tracks = [rig.upload(1), rig.upload(2, did=BOB)]
    await rig.relay_once()
    for track in tracks:
        made = {**rig.pds.get_record(track.did, COLLECTION, track.rkey)["value"], "junk": [[]] * 20_000}
        rig.pds.put_record(track.did, COLLECTION, track.rkey, made)
    for _ in range(6):
        for track in tracks:
            request_verify(rig, track.track_id)
        assert await rig.relay_once() == {Outcome.FAILED: 2}
        rig.clock.advance(hours=2)
    assert rig.scalars(select(pds_host.c.breaker))[0] == BreakerState.CLOSED
    rig.upload(3)
    assert (await rig.relay_once())[Outcome.DELIVERED] == 1


SESSIONS = {
    "deeply nested": b"[" * 30_000 + b"]" * 30_000,
    "many values": b'{"accessJwt":' + many(b"[]", 60_000) + b"}",
    "huge": b'{"accessJwt":"' + b"x" * MB + b'"}',
}


@pytest.mark.parametrize("body", SESSIONS.values(), ids=SESSIONS)
async def test_a_sign_in_whose_answer_cannot_be_read_says_that_the_pds_is_unreachable(body: bytes) -> None:
    async with hostile_pds(Answer(body)) as hostile, public_client(AddressPolicy([hostile.url])) as http:
        with pytest.raises(IdentityUnreachableError):
            await create_session(http, hostile.url, ALICE, SecretStr("secret"))


@pytest.mark.parametrize(
    "claims",
    [b'{"exp":99999999999999999999}', b'{"exp":1e999}', b"[" * 9_000 + b"]" * 9_000],
    ids=["a huge integer", "no number", "deeply nested"],
)
async def test_a_token_whose_claims_cannot_be_read_is_one_of_unknown_age(claims: bytes) -> None:
    token = f"x.{urlsafe_b64encode(claims).decode().rstrip('=')}.x"
    body = json.dumps({"did": ALICE, "accessJwt": token, "refreshJwt": "r"}).encode()
    async with hostile_pds(Answer(body)) as hostile, public_client(AddressPolicy([hostile.url])) as http:
        made = await create_session(http, hostile.url, ALICE, SecretStr("secret"))
    assert made.access_expires_at is None
