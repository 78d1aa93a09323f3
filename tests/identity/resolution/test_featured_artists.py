import asyncio

import pytest

from aggregates.values import Feature
from identity.errors import FeatureUnresolvedError
from identity.resolution import resolver
from identity.resolution.resolver import FeaturedArtists, Resolver, turns_of_lookups
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
            return await FeaturedArtists(Resolver(PLC, [], http, names=web)).resolve(ALICE, identifiers)

    return asyncio.run(ask())


def test_handles_and_dids_are_resolved_in_their_order(web):
    found = resolve(web, "@bob.example.com", ALICE)
    assert found == [Feature(BOB, "bob.example.com"), Feature(ALICE, "alice.example.com")]
    assert resolve(web) == []


def test_the_unknown_artist_is_named_in_the_error(web):
    with pytest.raises(FeatureUnresolvedError) as refused:
        resolve(web, ALICE, "nobody.example.com")
    assert refused.value.identifier == "nobody.example.com"


@pytest.mark.parametrize("page", [404, 500])
def test_a_did_whose_document_cannot_be_fetched_has_the_invalid_handle(web, page):
    web.pages[f"{PLC}/{BOB}"] = page
    assert resolve(web, ALICE, BOB)[1] == Feature(BOB, "handle.invalid")


def test_an_account_without_a_pds_can_be_featured(web):
    web.pages[f"{PLC}/{BOB}"] = document(BOB, "bob.example.com", service=[])
    assert resolve(web, BOB) == [Feature(BOB, "bob.example.com")]


def test_time_is_limited_for_all_together(web, monkeypatch):
    monkeypatch.setattr("identity.resolution.resolver.LOOKUP_TIMEOUT_SECONDS", 0.01)
    web.pages[f"{PLC}/{BOB}"] = asyncio.Event().wait
    assert resolve(web, BOB) == [Feature(BOB, "handle.invalid")]
    web.records["_atproto.bob.example.com"] = []
    web.pages["https://bob.example.com/.well-known/atproto-did"] = asyncio.Event().wait
    with pytest.raises(FeatureUnresolvedError, match=r"bob\.example\.com"):
        resolve(web, "bob.example.com")


class Silence:
    """Pages that say nothing before `go_on`."""

    def __init__(self):
        self.asked = 0
        self.go_on = asyncio.Event()

    async def __call__(self):
        self.asked += 1
        await self.go_on.wait()
        return 404


def web_with_silent_hosts(web, *urls):
    silence = Silence()
    web.pages |= dict.fromkeys(urls, silence)
    return silence


async def resolved_beside(web, asked, identifier):
    """Have the names looked up that each account asks for; what do another account and the silent hosts see of it?"""
    async with web.client() as http:
        artists = FeaturedArtists(Resolver(PLC, [], http, names=web, turns=turns_of_lookups()))
        attack = [asyncio.create_task(artists.resolve(account, names)) for account, names in asked.items()]
        await asyncio.sleep(0)  # they ask first
        found = await artists.resolve("did:plc:honest", [identifier])
        silence = next(page for page in web.pages.values() if isinstance(page, Silence))
        asked_of_silent_hosts = silence.asked
        silence.go_on.set()
        await asyncio.gather(*attack, return_exceptions=True)  # no document is found
    return found, asked_of_silent_hosts


def did_webs(number):
    return [f"did:web:silent{each}.com" for each in range(number)]


def document_of(did):
    return f"https://{did.removeprefix('did:web:')}/.well-known/did.json"


def test_an_account_whose_names_hang_has_few_lookups_under_way_and_delays_no_other(web):
    names = did_webs(10)
    web_with_silent_hosts(web, *map(document_of, names))
    found, asked = asyncio.run(resolved_beside(web, {"did:plc:greedy": names}, "alice.example.com"))
    assert found == [Feature(ALICE, "alice.example.com")]
    assert asked == resolver.MAX_LOOKUPS_OF_AN_ACCOUNT


def test_a_name_that_waits_in_the_queue_of_one_account_is_looked_up_for_another_at_once(web):
    names = did_webs(resolver.MAX_LOOKUPS_OF_AN_ACCOUNT)
    web_with_silent_hosts(web, *map(document_of, names))
    asked = {"did:plc:greedy": [*names, "alice.example.com"]}
    found, _ = asyncio.run(resolved_beside(web, asked, "alice.example.com"))
    assert found == [Feature(ALICE, "alice.example.com")]


def test_a_host_that_hangs_gets_two_requests_of_however_many_accounts_and_delays_no_other_host(web):
    handles = [f"a{number}.example.net" for number in range(40)]
    for handle in handles:
        web.records[f"_atproto.{handle}"] = ["did=did:web:silent.com"]
    web_with_silent_hosts(web, document_of("did:web:silent.com"))
    asked = {f"did:plc:greedy{each}": handles[each * 4 : each * 4 + 4] for each in range(10)}
    found, requests = asyncio.run(resolved_beside(web, asked, "bob.example.com"))
    assert found == [Feature(BOB, "bob.example.com")]
    assert requests == resolver.MAX_REQUESTS_TO_A_HOST


async def answered_late(web, silence, asked):
    """Have all names looked up at once; silent hosts answer when no more is sent. How many requests was that, and what came of them?"""
    async with web.client() as http:
        artists = FeaturedArtists(Resolver(PLC, [], http, names=web, turns=turns_of_lookups()))
        lookups = [asyncio.create_task(artists.resolve(account, names)) for account, names in asked]
        for _ in range(100):
            await asyncio.sleep(0)
        requests = silence.asked
        silence.go_on.set()
        return requests, await asyncio.gather(*lookups)


def test_lookups_of_all_accounts_together_send_few_requests_at_once(web):
    names = did_webs(60)
    silence = web_with_silent_hosts(web, *map(document_of, names))
    asked = [(f"did:plc:{each}", names[each::10]) for each in range(10)]
    assert asyncio.run(answered_late(web, silence, asked))[0] == resolver.MAX_REQUESTS


def test_a_name_is_looked_up_once_for_all_requests_of_an_account_meanwhile(web):
    silence = web_with_silent_hosts(web, document_of("did:web:silent.com"))
    asked = [("did:plc:a", ["did:web:silent.com"])] * 9
    _, found = asyncio.run(answered_late(web, silence, asked))
    assert found == [[Feature("did:web:silent.com", "handle.invalid")]] * 9
    assert silence.asked == 1
