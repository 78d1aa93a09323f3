"""Exports end with their token, and an account has few under way."""

import asyncio
import threading
from collections import Counter

import pytest
from pydantic import SecretStr

from api.pipeline import concurrency
from api.pipeline.concurrency import MAX_EXPORTS_OF_AN_ACCOUNT
from identity.errors import CredentialExpiredError
from tests.api.world import upload
from tests.servers.databases import ON_SQLITE
from tests.waits import until_async

pytestmark = ON_SQLITE

EXPORTS = 6


def test_an_export_is_broken_off_once_its_token_has_ended(world, client, alice, monkeypatch):
    monkeypatch.setattr(concurrency, "CHECK_SECONDS", -1.0)
    body = {"name": "export"}
    made = client.post("/auth/tokens", json=body, headers=alice.headers).json()
    principal = world.services.credentials.authenticate(SecretStr(made["token"]))
    parts = concurrency.while_usable(world.services, principal, iter(["first", "second"]))
    assert next(parts) == "first"
    client.delete(f"/auth/tokens/{made['id']}", headers=alice.headers)
    with pytest.raises(CredentialExpiredError):
        next(parts)


@pytest.mark.parametrize("path", ["/me/export", "/audit.ndjson", "/audit", "/tracks/{id}/history"])
def test_an_account_has_few_exports_under_way_and_others_have_theirs(
    *, world, client, alice, bob, path, monkeypatch
):
    path = path.format(id=upload(client, alice)["id"])
    go_on, begun = threading.Event(), []

    def slow(_services, principal, lines):
        begun.append(principal.did)
        yield from lines
        if principal.did == alice.did:
            go_on.wait(60)

    monkeypatch.setattr(concurrency, "while_usable", slow)
    as_lines = {"Accept": concurrency.NDJSON}

    async def ask():
        async with world.async_client(alice) as greedy, world.async_client(bob) as other:
            asked = [asyncio.create_task(greedy.get(path, headers=as_lines)) for _ in range(EXPORTS)]
            try:
                await until_async(
                    lambda: sum(each.done() for each in asked) == EXPORTS - MAX_EXPORTS_OF_AN_ACCOUNT
                )
                of_other = await other.get("/audit.ndjson")
            finally:
                go_on.set()
            return await asyncio.gather(*asked), of_other, await greedy.get(path, headers=as_lines)

    answers, of_other, after = asyncio.run(ask())
    refused = [each for each in answers if each.status_code == 429]
    assert Counter(each.status_code for each in answers)[200] == MAX_EXPORTS_OF_AN_ACCOUNT
    assert len(refused) == EXPORTS - MAX_EXPORTS_OF_AN_ACCOUNT
    assert all(int(each.headers["retry-after"]) > 0 for each in refused)
    assert (of_other.status_code, after.status_code) == (200, 200)
