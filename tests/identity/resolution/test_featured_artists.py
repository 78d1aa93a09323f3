import asyncio

import pytest

from identity.errors import FeatureUnresolvedError
from identity.resolution.featured_artists import Feature, resolve_features
from identity.resolution.resolver import Resolver
from tests.identity.resolution.fake_web import ALICE, BOB, PLC, FakeWeb, document


@pytest.fixture
def web():
    web = FakeWeb()
    for did, name in ((ALICE, "alice"), (BOB, "bob")):
        web.records[f"_atproto.{name}.example.com"] = [f"did={did}"]
        web.pages[f"{PLC}/{did}"] = document(did, f"{name}.example.com")
    return web


def resolve(web, *identifiers):
    async def ask():
        async with web.client() as http:
            return await resolve_features(Resolver(PLC, [], http, names=web), identifiers)

    return asyncio.run(ask())


def test_handles_and_dids_are_resolved_in_their_order(web):
    found = resolve(web, "@bob.example.com", ALICE)
    assert found == [Feature(BOB, "bob.example.com"), Feature(ALICE, "alice.example.com")]
    assert resolve(web) == []


def test_the_unknown_artist_is_named_in_the_error(web):
    with pytest.raises(FeatureUnresolvedError) as refused:
        resolve(web, ALICE, "nobody.example.com")
    assert refused.value.identifier == "nobody.example.com"


@pytest.mark.parametrize("page", [404, 500, "rubbish"])
def test_a_did_whose_document_cannot_be_fetched_has_the_invalid_handle(web, page):
    web.pages[f"{PLC}/{BOB}"] = page
    assert resolve(web, ALICE, BOB)[1] == Feature(BOB, "handle.invalid")


def test_an_account_without_a_pds_can_be_featured(web):
    web.pages[f"{PLC}/{BOB}"] = document(BOB, "bob.example.com", service=[])
    assert resolve(web, BOB) == [Feature(BOB, "bob.example.com")]


def test_time_is_limited_for_all_together(web, monkeypatch):
    monkeypatch.setattr("identity.resolution.featured_artists.TIMEOUT_SECONDS", 0.01)
    web.pages[f"{PLC}/{BOB}"] = asyncio.Event().wait
    assert resolve(web, BOB) == [Feature(BOB, "handle.invalid")]
    web.records["_atproto.bob.example.com"] = []
    web.pages["https://bob.example.com/.well-known/atproto-did"] = asyncio.Event().wait
    with pytest.raises(FeatureUnresolvedError, match=r"bob\.example\.com"):
        resolve(web, "bob.example.com")
