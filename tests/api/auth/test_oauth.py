"""The OAuth routes: cookies, redirects, and refusals as JSON for programs and as a page for browsers."""

import json
import re
from itertools import product

import pytest

from identity.errors import (
    ConsentDeniedError,
    IdentityUnreachableError,
    NotPrivilegedError,
    ScopeRefusedError,
    SignInRefusedError,
    SignInStateError,
    UnknownIdentityError,
    UnsafeAddressError,
)
from identity.oauth.sign_in import oauth_app
from identity.sessions.key_pairs import new_signing_key, signing_keys
from tests.api.auth.fake_oauth import (
    APP,
    CONSENT,
    STATE,
    FakeOAuth,
    client,
    come_back,
    oauth,
    sign_in,
    signed_in_dids,
)
from tests.api.world import did_of, refusal
from tests.servers.databases import ON_SQLITE

__all__ = ["client", "oauth"]
pytestmark = ON_SQLITE

OLD_BROWSER = {"accept": "text/html,*/*;q=0.8"}
"""It sends no fetch metadata."""
HTML = {**OLD_BROWSER, "sec-fetch-site": "none"}
"""The address was typed."""


def test_the_browser_is_sent_to_the_pds_with_a_cookie_for_its_way_back(client, oauth):
    answer = client.get("/auth/login", params={"handle": "dora.test"})
    assert (answer.status_code, answer.headers["location"]) == (303, CONSENT)
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith(f"mastertape_sign_in_{STATE}=sealed-me;")
    assert "httponly" in cookie
    assert "path=/auth/callback" in cookie
    assert "samesite=lax" in cookie
    assert "max-age=1800" in cookie
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert oauth.asked == [("dora.test", "/me")]


def test_coming_back_signs_in_and_takes_the_cookie_away(client, oauth):
    answer = sign_in(client, oauth)
    assert (answer.status_code, answer.headers["location"]) == (303, "/me")
    returned, cookie = oauth.asked[-1]
    assert (returned.state, returned.iss, returned.code) == (STATE, "i", "c")
    assert cookie.get_secret_value() == "sealed-me"
    assert client.get("/me").json()["did"] == did_of("dora")
    assert list(client.cookies) == ["mastertape_session"]
    assert "no-store" in answer.headers["cache-control"]


def test_another_browser_has_no_cookie_to_show(client, oauth):
    sign_in(client, oauth)
    client.cookies.clear()
    come_back(client)
    assert oauth.asked[-1][1] is None


def test_over_https_the_cookies_go_over_https_only_and_come_from_this_host(world):
    keys = signing_keys(json.dumps([new_signing_key()]))
    oauth = FakeOAuth(world, oauth_app("https://tape.example", "atproto", keys))
    client = world.serve(oauth=oauth, base_url="https://tape.example")
    client.follow_redirects = False
    client.base_url = "https://tape.example"
    answers = [client.get("/auth/login", params={"handle": "dora.test"}), come_back(client)]
    set_cookies = [line.lower() for each in answers for line in each.headers.get_list("set-cookie")]
    for cookie in ("__host-mastertape_session", "__secure-mastertape_sign_in_"):
        mine = [line for line in set_cookies if line.startswith(cookie) and "max-age=0" not in line]
        assert mine
        assert all("secure;" in f"{line};" and "httponly" in line and "samesite=lax" in line for line in mine)
    assert client.get("/me").json()["did"] == did_of("dora")
    client.cookies.clear()
    client.cookies.set("mastertape_session", "set.by.a.neighbour")
    assert client.get("/me").status_code == 401


def test_the_way_back_may_lead_here_or_to_a_page_that_the_operator_named(client, oauth):
    for wanted in ("/", "/tracks?artist=x", APP, f"{APP}/library?x=1#y"):
        client.get("/auth/login", params={"handle": "dora.test", "return_to": wanted})
        assert come_back(client).headers["location"] == oauth.return_to == wanted


ELSEWHERE = [
    "",
    "me",
    "//evil.example",
    "/\\evil.example",
    "\\/evil.example",
    "/\t/evil.example",
    "https://evil.example",
    f"{APP}.evil.example",
    f"{APP}@evil.example",
    "javascript:alert(1)",
    "/\r\nset-cookie: a=b",
]


def test_the_way_back_leads_nowhere_else(subtests, client, oauth):
    for wanted in ELSEWHERE:
        with subtests.test(repr(wanted)):
            answer = client.get("/auth/login", params={"handle": "dora.test", "return_to": wanted})
            assert refusal(answer) == (400, "invalid_field")
            assert answer.json()["detail"]["field"] == "return_to"
    assert oauth.asked == []


def navigate(client, site, proof=None, **headers):
    """Navigate to the start of a sign-in, as a browser does from a page with this relation to ours."""
    metadata = {"sec-fetch-site": site, "sec-fetch-mode": "navigate"} if site else {}
    return client.get(
        "/auth/login",
        params={"handle": "mallory.test"} | ({} if proof is None else {"proof": proof}),
        headers={**OLD_BROWSER, **metadata, **headers},
    )


def proof_in(page):
    return re.search(r'name="proof" value="([^"]*)"', page.text)[1]


LINKS = [
    ("cross-site", {}),
    ("cross-site", {"referer": "https://evil.example/"}),
    ("cross-site", {"referer": f"{APP}.evil.example/"}),
    ("same-site", {"referer": "http://127.0.0.1:8001/"}),
    ("cross-site", {"referer": "http://["}),
    ("same-origin", {"referer": "http://127.0.0.1:8000/@mallory.test/7"}),
    ("same-origin", {}),
    (None, {}),
    (None, {"referer": "https://evil.example/"}),
    (None, {"referer": "http://127.0.0.1:8000/@mallory.test"}),
]
TRUSTED = [
    ("none", {}),
    ("cross-site", {"referer": f"{APP}/"}),
    ("same-site", {"referer": f"{APP}/sign-in?x"}),
    (None, {"referer": f"{APP}/"}),
]


def test_a_link_on_any_page_starts_no_sign_in_but_fills_in_the_form(subtests, client, oauth):
    sign_in(client, oauth, "victim")
    oauth.asked.clear()
    oauth.name = "mallory"
    for site, headers in LINKS:
        with subtests.test(f"{site} {headers}"):
            page = navigate(client, site, **headers)
            assert (page.status_code, oauth.asked) == (200, [])
            assert 'name="handle" value="mallory.test"' in page.text
            assert "mastertape_sign_in_" + STATE not in page.headers.get("set-cookie", "")
            assert signed_in_dids(client) == [did_of("victim")]


def test_a_typed_address_and_the_pages_of_listed_origins_start_a_sign_in(client, oauth):
    for site, headers in TRUSTED:
        assert navigate(client, site, **headers).headers["location"] == CONSENT
    assert [handle for handle, _ in oauth.asked] == ["mallory.test"] * len(TRUSTED)


def test_a_link_on_our_own_pages_starts_no_sign_in_even_where_our_origin_is_listed(world, oauth):
    client = world.serve(oauth=oauth, cors_origins=("http://127.0.0.1:8000", APP))
    page = navigate(client, "same-origin", referer="http://127.0.0.1:8000/@mallory.test/7")
    assert (page.status_code, oauth.asked) == (200, [])


@pytest.mark.parametrize("site", ["same-origin", None])
def test_what_our_form_carries_starts_a_sign_in_with_its_cookie_alone(client, oauth, site):
    page = navigate(client, site)
    cookie = page.headers["set-cookie"].lower()
    assert "samesite=strict" in cookie
    assert "httponly" in cookie
    assert "path=/auth/login" in cookie
    guesses = ["", "x", "ä", "A" * 43]
    assert [navigate(client, site, proof=guess).status_code for guess in guesses] == [200] * 4
    assert navigate(client, "same-site", proof=proof_in(page)).status_code == 200
    assert oauth.asked == []
    assert navigate(client, site, proof=proof_in(page)).headers["location"] == CONSENT
    client.cookies.clear()
    assert navigate(client, site, proof=proof_in(page)).status_code == 200
    assert len(oauth.asked) == 1


@pytest.mark.parametrize("planted", ["", "x", '"><script>'])
def test_a_form_cookie_that_is_not_ours_proves_nothing(client, oauth, planted):
    client.cookies.set("mastertape_form", planted)
    assert navigate(client, "same-origin", proof=planted).status_code == 200
    assert oauth.asked == []


def test_the_forms_of_two_tabs_both_start_a_sign_in(client, oauth):
    first, second = navigate(client, "same-origin"), navigate(client, "same-origin")
    for page in (first, second):
        assert navigate(client, "same-origin", proof=proof_in(page)).status_code == 303
    assert len(oauth.asked) == 2


def test_a_script_of_another_site_is_refused(client, oauth):
    answer = client.get(
        "/auth/login", params={"handle": "dora.test"}, headers={"sec-fetch-site": "cross-site"}
    )
    assert (refusal(answer), oauth.asked) == ((403, "cross_site"), [])


REFUSALS = [
    (SignInStateError(), (400, "sign_in_state"), "another browser"),
    (SignInRefusedError("it says no"), (400, "sign_in_refused"), "it says no"),
    (ConsentDeniedError(), (403, "access_denied"), "declined"),
    (ScopeRefusedError("Scope mismatch: a, b"), (403, "scope_refused"), "Scope mismatch"),
    (NotPrivilegedError("admin"), (403, "scope_required"), "leave the scope out"),
    (UnknownIdentityError("x.test points to no DID"), (401, "bad_credentials"), "points to no DID"),
    (UnsafeAddressError("10.0.0.1"), (400, "unsafe_address"), "not ones that the service connects to"),
    (IdentityUnreachableError("secret host"), (503, "identity_unreachable"), "try again later"),
]


def test_a_refusal_is_json_for_programs_and_a_page_for_people(subtests, client, oauth):
    paths = ("/auth/login?handle=dora.test", f"/auth/callback?state={STATE}&iss=i&code=c")
    for path, (error, expected, said) in product(paths, REFUSALS):
        with subtests.test(f"{path} {error!r}"):
            oauth.error = error
            answer = client.get(path)
            assert refusal(answer) == expected
            assert said in answer.json()["detail"]["message"]
            page = client.get(path, headers=HTML)
            assert page.status_code == expected[0]
            assert said in page.text
            assert '<form action="/auth/login"' in page.text
            for each in (answer, page):
                assert "secret" not in each.text
                assert "mastertape_session" not in each.headers.get("set-cookie", "")


def test_a_person_who_declines_may_start_again_with_the_handle_and_for_the_page_that_they_came_from(
    client, oauth
):
    client.get("/auth/login", params={"handle": "dora.test", "return_to": "/tracks/7"})
    oauth.error = ConsentDeniedError()
    page = come_back(client, **HTML).text
    assert 'value="dora.test"' in page
    assert '<input type="hidden" name="return_to" value="/tracks/7">' in page


def test_the_page_shows_what_others_wrote_as_text(client, oauth):
    oauth.error = SignInRefusedError("<script>alert(1)</script>")
    page = client.get("/auth/login", params={"handle": '"><script>'}, headers=HTML).text
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_a_person_without_a_handle_is_asked_for_it_and_a_program_is_told(client):
    page = client.get("/auth/login", headers=HTML)
    assert (page.status_code, "Handle or DID" in page.text) == (200, True)
    assert refusal(client.get("/auth/login")) == (422, "unparsable")


@pytest.mark.usefixtures("oauth")
def test_the_form_leads_on_by_a_page_since_chromium_holds_redirects_against_its_policy(client):
    page = client.get("/auth/login", headers=HTML)
    assert "form-action 'self'" in page.headers["content-security-policy"]
    assert '<input type="hidden" name="page" value="true">' in page.text
    answer = client.get("/auth/login", params={"handle": "dora.test", "page": "true"}, headers=HTML)
    assert answer.status_code == 200
    assert f'<meta http-equiv="refresh" content="0; url={CONSENT}">' in answer.text
    assert answer.headers["set-cookie"].startswith(f"mastertape_sign_in_{STATE}=")
    assert come_back(client).headers["location"] == "/me"


def test_the_page_that_leads_on_holds_whatever_the_server_calls_itself_as_text(world):
    url = """https://as.example/?a=1&b="><script>alert(1)</script>'"""
    page = world.app.state.sign_in_pages.onward(url).body.decode()
    assert "<script>" not in page
    assert page.count('"https://as.example/?a=1&amp;b=&#34;&gt;&lt;script&gt;') == 1
    assert "0; url=https://as.example/?a=1&amp;b=&#34;&gt;" in page


def test_a_handle_has_a_length(client, oauth):
    assert refusal(client.get("/auth/login", params={"handle": "x" * 513})) == (400, "invalid_field")
    assert oauth.asked == []


def test_a_state_that_is_none_breaks_nothing(client, oauth):
    oauth.error = SignInStateError()
    for state in ("", "a b", "ä", "x" * 500, "a=b;c", "\r\n"):
        cookie = f"mastertape_sign_in_{state.encode('ascii', 'ignore').decode().strip()}=x"
        answer = client.get("/auth/callback", params={"state": state}, headers={"cookie": cookie})
        assert refusal(answer) == (400, "sign_in_state"), state


def test_a_server_that_was_away_may_be_asked_again_with_the_same_cookie(client, oauth):
    client.get("/auth/login", params={"handle": "dora.test"})
    oauth.error = IdentityUnreachableError("away")
    assert come_back(client, **HTML).status_code == 503
    oauth.error = None
    assert come_back(client).status_code == 303


def test_a_sign_in_by_localhost_is_redirected_to_127_0_0_1(client, oauth):
    answer = client.get("http://localhost:8000/auth/login?handle=dora.test&return_to=/me")
    assert answer.status_code == 303
    assert answer.headers["location"] == "http://127.0.0.1:8000/auth/login?handle=dora.test&return_to=/me"
    assert oauth.asked == []


def test_without_an_oauth_client_there_are_no_oauth_routes(world):
    client = world.serve(oauth=None)
    for path in ("/auth/login?handle=dora.test", "/auth/callback"):
        assert refusal(client.get(path)) == (404, "sign_in_unavailable")


def test_only_a_confidential_client_describes_itself(world, client):
    for path in ("/oauth-client-metadata.json", "/jwks.json"):
        assert refusal(client.get(path)) == (404, "not_found")
    keys = signing_keys(json.dumps([new_signing_key(), new_signing_key()]))
    app = oauth_app("https://tape.example", "atproto", keys)
    client = world.serve(oauth=FakeOAuth(world, app), base_url="https://tape.example")
    assert client.get("/oauth-client-metadata.json").json() == app.metadata()
    published = client.get("/jwks.json").json()
    assert [key["kid"] for key in published["keys"]] == [key.kid for key in keys]
    assert '"d"' not in json.dumps(published)


def test_the_form_asks_again_for_what_was_asked_for(client):
    wanted = {"scope": "admin", "return_to": "/ops/lanes?limit=2&state=ready"}
    page = client.get("/auth/login", params=wanted, headers=HTML).text
    assert '<input type="hidden" name="scope" value="admin">' in page
    assert 'name="return_to" value="/ops/lanes?limit=2&amp;state=ready"' in page
    assert 'name="scope"' not in client.get("/auth/login", headers=HTML).text
    assert refusal(client.get("/auth/login", params={"handle": "d.test", "scope": "all"})) == (
        400,
        "invalid_field",
    )
