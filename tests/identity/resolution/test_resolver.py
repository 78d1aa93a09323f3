import asyncio
import json

import httpx
import pytest

from identity.errors import IdentityUnreachableError, UnknownIdentityError, UnsafeAddressError
from identity.resolution.address_policy import HostNotFoundError
from identity.resolution.resolver import Identity, Resolver
from tests.identity.resolution.fake_web import ALICE, BOB, DEV_PDS, PDS, PLC, FakeWeb, document


@pytest.fixture
def web():
    web = FakeWeb()
    web.records["_atproto.alice.example.com"] = ["other=1", f"did={ALICE}"]
    web.pages[f"{PLC}/{ALICE}"] = document(ALICE, "alice.example.com")
    return web


def resolve(web, identifier, *, dev_origins=(DEV_PDS,), plc_url=PLC):
    async def ask():
        async with web.client() as http:
            return await Resolver(plc_url, dev_origins, http, names=web).resolve(identifier)

    return asyncio.run(ask())


@pytest.mark.parametrize("identifier", ["alice.example.com", "@Alice.Example.COM", f" {ALICE} "])
def test_a_handle_or_did_leads_to_the_pds(web, identifier):
    assert resolve(web, identifier) == Identity(ALICE, "alice.example.com", PDS)


def test_a_handle_is_asked_at_its_web_server_when_dns_has_no_record(web):
    del web.records["_atproto.alice.example.com"]
    web.pages["https://alice.example.com/.well-known/atproto-did"] = f"{ALICE}\n"
    assert resolve(web, "alice.example.com").did == ALICE


def test_a_web_server_answers_when_dns_does_not(web):
    web.dns_fails("_atproto.alice.example.com")
    web.pages["https://alice.example.com/.well-known/atproto-did"] = ALICE
    assert resolve(web, "alice.example.com").did == ALICE


def test_a_connection_that_a_server_closes_as_it_is_used_again_is_no_outage(web):
    replies = iter([httpx.RemoteProtocolError("closed"), document(ALICE, "alice.example.com")])

    async def page():
        found = next(replies)
        if isinstance(found, Exception):
            raise found
        return httpx.Response(200, json=found)

    web.pages[f"{PLC}/{ALICE}"] = page
    assert resolve(web, "alice.example.com").did == ALICE


def test_a_handle_is_unreachable_and_not_unknown_when_dns_is_down(web):
    web.dns_fails("_atproto.alice.example.com")
    with pytest.raises(IdentityUnreachableError):
        resolve(web, "alice.example.com")


def test_a_handle_with_two_dids_has_none(web):
    web.records["_atproto.alice.example.com"].append(f"did={BOB}")
    with pytest.raises(UnknownIdentityError):
        resolve(web, "alice.example.com")


@pytest.mark.parametrize(
    "identifier",
    [
        "",
        "@",
        "alice",
        "alice.example.com/x",
        "alice..com",
        "-a.example.com",
        "alice.example.123",
        "127.0.0.1",
        "alice.local",
        "handle.invalid",
        "a" * 250 + ".com",
        "älice.example.com",
        "alice.example.com\n.evil.com",
        "did:",
        "did:plc:short",
        "did:plc:AAAAAAAAAAAAAAAAAAAAAAAA",
        ALICE + "/../x",
        "did:key:zabc",
        "did:web:localhost",
        "did:web:127.0.0.1",
        "did:web:example.com:path",
        "did:web:example.com%3A8080",
        "did:web:localhost%3A2584",
        "did:web:localhost%2F",
    ],
)
def test_bad_syntax_is_refused_before_any_request(web, identifier):
    with pytest.raises(UnknownIdentityError):
        resolve(web, identifier)
    assert web.asked == []


def test_a_handle_that_does_not_point_back_is_not_shown(web):
    web.pages[f"{PLC}/{BOB}"] = document(BOB, "alice.example.com")
    assert resolve(web, BOB) == Identity(BOB, "handle.invalid", PDS)


def test_a_handle_that_points_to_a_did_which_does_not_claim_it_is_not_shown(web):
    web.records["_atproto.evil.example.com"] = [f"did={ALICE}"]
    assert resolve(web, "evil.example.com").handle == "alice.example.com"
    web.pages[f"{PLC}/{ALICE}"] = document(ALICE, "gone.example.com")
    assert resolve(web, "evil.example.com").handle == "handle.invalid"


@pytest.mark.parametrize("names", [None, ["https://alice.example.com"], [1], ["at://localhost"]])
def test_a_document_without_a_usable_handle_gives_the_invalid_one(web, names):
    web.pages[f"{PLC}/{ALICE}"] = document(ALICE, "", alsoKnownAs=names)
    assert resolve(web, ALICE).handle == "handle.invalid"


@pytest.mark.parametrize(
    ("page", "error"),
    [
        (404, UnknownIdentityError),
        (410, UnknownIdentityError),
        (500, IdentityUnreachableError),
        (302, IdentityUnreachableError),
        ("no json", IdentityUnreachableError),
        ([], IdentityUnreachableError),
        (document(BOB, "alice.example.com"), IdentityUnreachableError),
        ("x" * 70_000, IdentityUnreachableError),
        (httpx.ConnectTimeout("slow"), IdentityUnreachableError),
        (document(ALICE, "alice.example.com", service=[]), UnknownIdentityError),
        (document(ALICE, "alice.example.com", service="x"), UnknownIdentityError),
        (document(ALICE, "alice.example.com", pds_url={"uri": PDS}), UnknownIdentityError),
    ],
)
def test_a_missing_or_broken_document_has_its_own_error(web, page, error):
    web.pages[f"{PLC}/{ALICE}"] = page
    with pytest.raises(error):
        resolve(web, ALICE)


def test_a_did_web_is_asked_at_its_own_host(web):
    did = "did:web:alice.example.com"
    web.records["_atproto.alice.example.com"] = [f"did={did}"]
    web.pages["https://alice.example.com/.well-known/did.json"] = document(did, "alice.example.com")
    assert resolve(web, did) == Identity(did, "alice.example.com", PDS)


def test_a_did_web_on_a_development_origin_is_asked_there(web):
    did = "did:web:localhost%3A2583"
    web.pages[f"{DEV_PDS}/.well-known/did.json"] = document(did, "x.test", DEV_PDS)
    assert resolve(web, did).pds_url == DEV_PDS


def test_test_handles_are_asked_at_development_origins_only(web):
    url = f"{DEV_PDS}/xrpc/com.atproto.identity.resolveHandle?handle=alice.test"
    web.pages[url] = {"did": ALICE}
    web.pages[f"{PLC}/{ALICE}"] = document(ALICE, "alice.test", DEV_PDS)
    first = "http://localhost:2580"
    identity = resolve(web, "alice.test", dev_origins=[first, f"{DEV_PDS}/"])
    assert identity == Identity(ALICE, "alice.test", DEV_PDS)
    assert web.asked == [url.replace(DEV_PDS, first), url, f"{PLC}/{ALICE}"]


def test_without_development_origins_a_test_handle_is_unknown_and_nobody_is_asked(web):
    with pytest.raises(UnknownIdentityError):
        resolve(web, "alice.test", dev_origins=[])
    assert web.asked == []


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1",
        "http://localhost:2584",
        f"{PDS}/path",
        f"{PDS}?q",
        f"{PDS}/#x",
        f"{PDS}/\0",
        pytest.param(f"{PDS}/\ud83c", id="half a character"),
    ],
)
def test_a_pds_at_an_unsafe_address_is_refused(web, url):
    served = json.dumps(document(ALICE, "alice.example.com", url))
    web.pages[f"{PLC}/{ALICE}"] = httpx.Response(200, content=served)
    with pytest.raises(UnsafeAddressError):
        resolve(web, ALICE)


def test_resolution_times_out(web, monkeypatch):
    monkeypatch.setattr("identity.resolution.resolver.TIMEOUT_SECONDS", 0.01)
    web.pages[f"{PLC}/{ALICE}"] = asyncio.Event().wait
    with pytest.raises(IdentityUnreachableError):
        resolve(web, ALICE)


def pds_of(web, did):
    async def ask():
        async with web.client() as http:
            return await Resolver(PLC, (DEV_PDS,), http, names=web).pds_of(did)

    return asyncio.run(ask())


@pytest.mark.parametrize("url", [PDS, f"{PDS}/", PDS.replace("pds", "PDS"), f"{PDS}:443"])
def test_pds_of_normalizes_the_url_and_does_not_resolve_the_handle(web, url):
    web.pages[f"{PLC}/{ALICE}"] = document(ALICE, "alice.example.com", url)
    assert pds_of(web, ALICE) == PDS
    assert web.asked == [f"{PLC}/{ALICE}"]


def test_an_unresolvable_plc_directory_makes_a_did_unreachable_and_not_unknown(web):
    web.pages[f"{PLC}/{ALICE}"] = HostNotFoundError("no such host")
    with pytest.raises(IdentityUnreachableError):
        pds_of(web, ALICE)
