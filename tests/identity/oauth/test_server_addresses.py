"""An account chooses the servers that its sign-in contacts; no step may reach an internal address."""

import asyncio
from unittest.mock import Mock

import httpx
import pytest
from pydantic import SecretStr

from identity.accounts.sign_in import SignIns
from identity.errors import IdentityError, IdentityUnreachableError, SignInRefusedError, UnsafeAddressError
from identity.oauth.flows import Flows
from identity.oauth.sign_in import OAuthSignIn, oauth_app
from identity.resolution.address_policy import AddressPolicy
from identity.resolution.resolver import Resolver
from tests.identity.oauth.server_metadata import ISSUER, metadata
from tests.identity.resolution.fake_web import ALICE, PDS, PLC, FakeWeb, document

HANDLE = "alice.example.com"
RESOURCE = f"{PDS}/.well-known/oauth-protected-resource"
SERVER = f"{ISSUER}/.well-known/oauth-authorization-server"
INSIDE = [
    "http://169.254.169.254/latest",
    "https://127.0.0.1",
    "https://[::1]",
    "https://0x7f.1",
    "https://printer.local",
    "https://user@pds.example.com",
    "http://pds.example.com",
]
"""One of each reason to refuse an address; test_address_policy.py has more."""


@pytest.fixture
def web():
    web = FakeWeb()
    web.records[f"_atproto.{HANDLE}"] = [f"did={ALICE}"]
    web.pages = {
        f"{PLC}/{ALICE}": document(ALICE, HANDLE),
        RESOURCE: {"authorization_servers": [ISSUER]},
        SERVER: metadata(),
        f"{ISSUER}/oauth/par": {"request_uri": "urn:r", "expires_in": 60},
    }
    return web


def start(web, cipher, identifier=HANDLE):
    async def story():
        async with web.client() as http:
            flows = Flows(http, AddressPolicy(), Resolver(PLC, [], http, names=web))
            door = OAuthSignIn(
                oauth_app("http://127.0.0.1:8000", "atproto", ()), flows, cipher, Mock(SignIns)
            )
            return await door.start(identifier, return_to="/me")

    return asyncio.run(story())


def asked_inside(web):
    known = (PLC, PDS, ISSUER, f"https://{HANDLE}", "_atproto.")
    return [url for url in web.asked if not url.startswith(known)]


def test_the_person_is_sent_to_the_server_that_their_pds_names(web, cipher):
    started = start(web, cipher)
    assert started.url.startswith(f"{ISSUER}/oauth/authorize?")
    assert "request_uri=urn%3Ar" in started.url
    assert isinstance(started.cookie, SecretStr)


@pytest.mark.parametrize("address", INSIDE)
def test_a_handle_that_is_an_address_is_not_asked(web, cipher, address):
    for identifier in (address, address.split("//")[1]):
        with pytest.raises(IdentityError):
            start(web, cipher, identifier)
    assert asked_inside(web) == []


NAMED_BY = {
    "DID document": lambda address: (f"{PLC}/{ALICE}", document(ALICE, HANDLE, address)),
    "PDS": lambda address: (RESOURCE, {"authorization_servers": [address]}),
    "server, for PAR": lambda address: (SERVER, metadata(pushed_authorization_request_endpoint=address)),
    "server, for people": lambda address: (SERVER, metadata(authorization_endpoint=address)),
}


@pytest.mark.parametrize("address", INSIDE)
@pytest.mark.parametrize("by", NAMED_BY)
def test_no_document_of_the_sign_in_can_name_an_internal_address(*, web, cipher, by, address):
    url, page = NAMED_BY[by](address)
    web.pages[url] = page
    with pytest.raises(UnsafeAddressError):
        start(web, cipher)
    assert asked_inside(web) == []


def test_a_pds_cannot_name_an_authorization_server_with_another_issuer(web, cipher):
    web.pages[SERVER] = metadata("https://evil.example.com")
    with pytest.raises(SignInRefusedError):
        start(web, cipher)


ANSWERS = ["<html>", [], {}, 404, 500, httpx.ReadTimeout("")]
PLACES = [(page, answer) for page in (RESOURCE, SERVER, f"{ISSUER}/oauth/par") for answer in ANSWERS]


@pytest.mark.parametrize(
    ("page", "answer"),
    [*PLACES, *((RESOURCE, {"authorization_servers": named}) for named in ([], [1]))],
)
def test_a_malformed_document_is_a_temporary_error(*, web, cipher, page, answer):
    web.pages[page] = answer
    with pytest.raises((IdentityUnreachableError, SignInRefusedError)):
        start(web, cipher)


def test_a_person_waits_for_no_server_longer_than_they_would(web, cipher, monkeypatch):
    monkeypatch.setattr("identity.oauth.sign_in.PATIENCE_SECONDS", 0.01)
    web.pages[SERVER] = asyncio.Event().wait
    with pytest.raises(IdentityUnreachableError, match="no answer within"):
        start(web, cipher)


def test_a_document_without_end_is_cut_off(web, cipher):
    web.pages[SERVER] = "x" * (1024 * 1024)
    with pytest.raises(IdentityUnreachableError):
        start(web, cipher)
