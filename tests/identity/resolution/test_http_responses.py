"""Fetching a URL that an account chose: allowed addresses, size and time."""

import asyncio

import httpx
import pytest

from identity.errors import FetchRefusedError, UnsafeAddressError
from identity.resolution.address_policy import MAX_REDIRECTS, AddressPolicy
from identity.resolution.http_responses import fetched
from identity.resolution.resolver import Resolver
from tests.identity.resolution.fake_web import PLC, FakeWeb

AUDIO = "https://cdn.example.com/a.mp3"
INSIDE = ["http://169.254.169.254/x", "https://127.0.0.1/x", PLC]


def fetch(web, url=AUDIO, *, limit=100, seconds=10.0):
    async def whole():
        async with (
            web.client() as http,
            fetched(http, AddressPolicy(), url, limit=limit, seconds=seconds) as body,
        ):
            return b"".join([chunk async for chunk in body])

    return asyncio.run(whole())


def redirect(url):
    return httpx.Response(302, headers={"location": url})


@pytest.fixture
def web():
    web = FakeWeb()
    web.pages[AUDIO] = "sound"
    return web


def test_a_public_address_is_fetched_also_behind_a_redirect(web):
    assert fetch(web) == b"sound"
    web.pages["https://artist.example.com/a"] = redirect(AUDIO)
    assert fetch(web, "https://artist.example.com/a") == b"sound"


@pytest.mark.parametrize("inside", INSIDE)
def test_internal_addresses_and_redirects_to_them_are_refused(web, inside):
    web.pages[inside] = "secret"
    web.pages["https://artist.example.com/a"] = redirect(inside)
    for url in (inside, "https://artist.example.com/a"):
        with pytest.raises(UnsafeAddressError):
            fetch(web, url)
    assert inside not in web.asked


@pytest.mark.parametrize("inside", INSIDE)
def test_a_handle_redirect_to_an_internal_address_is_refused(web, inside):
    """Including the PLC directory, which the client itself may contact."""
    web.pages["https://alice.example.com/.well-known/atproto-did"] = redirect(inside)

    async def ask():
        async with web.client() as http:
            return await Resolver(PLC, [], http, names=web).did_of("alice.example.com")

    with pytest.raises(UnsafeAddressError):
        asyncio.run(ask())
    assert inside not in web.asked


def test_a_circle_of_redirects_ends(web):
    web.pages[AUDIO] = redirect(AUDIO)
    with pytest.raises(httpx.TooManyRedirects):
        fetch(web)
    assert len(web.asked) == MAX_REDIRECTS + 1


@pytest.mark.parametrize("announced", [True, False])
def test_more_than_was_wanted_is_not_read(web, announced):
    async def endless():
        while True:
            yield bytes(30)

    body = {"content": bytes(1000)} if announced else {"content": endless()}
    web.pages[AUDIO] = httpx.Response(200, **body)
    with pytest.raises(FetchRefusedError, match="more than 100 bytes"):
        fetch(web)


@pytest.mark.parametrize("status", [206, 404])
def test_another_answer_than_the_bytes_is_refused(web, status):
    web.pages[AUDIO] = status
    with pytest.raises(FetchRefusedError, match=str(status)):
        fetch(web)


def test_a_slow_server_is_given_up(web):
    async def silent():
        await asyncio.Event().wait()
        yield b""

    web.pages[AUDIO] = httpx.Response(200, content=silent())
    with pytest.raises(TimeoutError):
        fetch(web, seconds=0.05)
