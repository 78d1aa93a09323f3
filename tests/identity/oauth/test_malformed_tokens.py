"""A token endpoint that answers with nonsense leaves the login as it is, and the failure is one of its PDS."""

import asyncio
from datetime import UTC, datetime

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import SecretStr

from aggregates.errors import SessionUnavailableError
from identity.oauth.flows import Flows, OAuthGrants
from identity.resolution.address_policy import AddressPolicy
from identity.resolution.resolver import Resolver
from identity.sessions.key_pairs import scalar_of
from identity.sessions.session_store import Session, SessionKind, TokenBinding, Tokens
from tests.identity.oauth.server_metadata import ISSUER, metadata
from tests.identity.resolution.fake_web import ALICE, PDS, PLC, FakeWeb

GRANTED = {"access_token": "a", "token_type": "DPoP", "refresh_token": "r", "scope": "atproto", "sub": ALICE}
SESSION = Session(datetime.now(UTC), SessionKind.OAUTH, ALICE, PDS, b"", "atproto", 1, None, None)
ANSWERS = {
    "a lifetime beyond all time": httpx.Response(200, json={**GRANTED, "expires_in": 10**19}),
    "a lifetime without end": httpx.Response(200, content=b'{"access_token":"a","expires_in":1e999}'),
    "deeply nested": httpx.Response(200, content=b"[" * 30_000 + b"]" * 30_000),
    "many values": httpx.Response(200, content=b"[" + b"[]," * 21_000 + b"1]"),
    "huge": httpx.Response(200, content=b" " * 100_000),
    "a huge error": httpx.Response(400, content=b'{"error":"' + b"x" * 100_000 + b'"}'),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_a_refresh_that_is_answered_with_nonsense_ends_no_login(answer):
    web = FakeWeb()
    web.pages = {
        f"{ISSUER}/.well-known/oauth-authorization-server": metadata(),
        f"{ISSUER}/oauth/token": answer,
    }

    async def refresh():
        async with web.client() as http:
            flows = Flows(http, AddressPolicy(), Resolver(PLC, [], http, names=web))
            binding = TokenBinding(
                ISSUER, "http://localhost", scalar_of(ec.generate_private_key(ec.SECP256R1())), None
            )
            tokens = Tokens(SecretStr("a"), SecretStr("r"), "atproto", None, binding)
            await OAuthGrants(flows, ()).refresh(SESSION, tokens)

    with pytest.raises(SessionUnavailableError):
        asyncio.run(refresh())
    assert f"{ISSUER}/oauth/token" in web.asked
