"""The names of the library that we replace: these tests fail when a new version moves them."""

import asyncio
import inspect

import atproto_oauth.client
import atproto_oauth.metadata
import httpx
import pytest

from identity.oauth.flows import CLIENT, TokenCallRefusedError, library, private_copy
from identity.resolution.address_policy import AddressPolicy
from tests.identity.oauth.server_metadata import ISSUER, metadata
from tests.identity.resolution.fake_web import FakeWeb

DEV = "http://localhost:2583"
TOKEN = f"{ISSUER}/oauth/token"


def web_with(url, page):
    web = FakeWeb()
    web.pages[url] = page
    return web


def copy_of(web, *origins):
    return library(web.client(), AddressPolicy(origins))


def test_every_request_of_the_library_goes_through_our_client():
    """Nothing of httpx's, and no judgement of addresses, but through the names that are replaced."""
    ours = copy_of(FakeWeb())
    replaced = {"is_safe_url", "get_hardened_async_client"}
    reached = {"discover_authserver_from_pds_async", "fetch_authserver_metadata_async"}
    for name in replaced | reached:
        assert getattr(ours, name) is not getattr(atproto_oauth.client, name)
    for module in (atproto_oauth.client, atproto_oauth.metadata):
        source = inspect.getsource(module)
        assert "httpx.AsyncClient(" not in source
        assert "httpx.get" not in source
        assert "urlopen" not in source


def test_the_imported_library_is_unchanged():
    copy_of(FakeWeb(), DEV)
    assert atproto_oauth.client.is_safe_url.__module__ == "atproto_oauth.security"
    assert atproto_oauth.metadata.get_hardened_async_client.__module__ == "atproto_oauth.security"


def test_a_missing_name_prevents_the_start():
    with pytest.raises(ImportError, match="no get_some_client any more"):
        private_copy(CLIENT, get_some_client=None)


def test_a_development_origin_may_be_http_with_a_port_but_must_meet_all_other_rules():
    page = f"{DEV}/.well-known/oauth-authorization-server"
    good = copy_of(web_with(page, metadata(DEV)), DEV)
    assert asyncio.run(good.fetch_authserver_metadata_async(DEV)).issuer == DEV
    for bad in (
        metadata("http://localhost:9999"),
        metadata(ISSUER),
        metadata(DEV, require_pushed_authorization_requests=False),
    ):
        with pytest.raises(Exception, match=r"origin|require_pushed"):
            asyncio.run(copy_of(web_with(page, bad), DEV).fetch_authserver_metadata_async(DEV))


def test_redirects_are_not_followed():
    moved = httpx.Response(302, headers={"location": "https://evil.example.com"})
    web = web_with(f"{ISSUER}/.well-known/oauth-authorization-server", moved)
    with pytest.raises(httpx.HTTPStatusError):
        asyncio.run(copy_of(web).fetch_authserver_metadata_async(ISSUER))
    assert len(web.asked) == 1


def post(web, **form):
    async def send():
        async with copy_of(web).get_hardened_async_client() as http:
            return await http.post(TOKEN, data=form, headers={"DPoP": "proof-of-hush"})

    return asyncio.run(send())


def test_the_error_of_a_refused_token_call_has_the_reason_and_nothing_of_the_request():
    said = {"error": "invalid_grant", "error_description": "Refresh token replayed"}
    web = web_with(TOKEN, httpx.Response(400, json=said, headers={"retry-after": "7"}))
    with pytest.raises(TokenCallRefusedError) as refused:
        post(web, refresh_token="hush")
    error = refused.value
    assert (error.status, error.error, error.retry_after) == (400, "invalid_grant", "7")
    assert "hush" not in repr(vars(error)) + str(error)


def test_the_error_of_a_lost_token_call_contains_nothing_of_the_request():
    web = web_with(TOKEN, httpx.ReadTimeout("slow"))
    with pytest.raises(httpx.ReadTimeout) as failed:
        post(web, refresh_token="hush")
    assert failed.value.request.read() == b""
    assert "dpop" not in failed.value.request.headers


def test_a_wanted_nonce_is_left_to_the_library():
    web = web_with(TOKEN, httpx.Response(400, json={"error": "use_dpop_nonce"}))
    assert post(web).status_code == 400
