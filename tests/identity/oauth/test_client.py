import json
from urllib.parse import parse_qs, urlsplit

import pytest

from identity.oauth.sign_in import oauth_app
from identity.sessions.key_pairs import new_signing_key, scalar_of, signing_keys

SCOPE = "atproto repo:fm.plyr.track blob:audio/*"
KEYS = signing_keys(json.dumps([new_signing_key(), new_signing_key()]))


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_a_service_on_loopback_is_a_public_client_on_any_port(host):
    one, other = (oauth_app(f"http://{host}:{port}", SCOPE, ()) for port in (8000, 9000))
    assert one.client_id == other.client_id
    query = parse_qs(urlsplit(one.client_id).query)
    assert one.client_id.startswith("http://localhost?")
    assert query == {"redirect_uri": [f"http://{host}/auth/callback"], "scope": [SCOPE]}
    assert one.redirect_uri == f"http://{host}:8000/auth/callback"
    assert (one.keys, one.newest_key) == ((), None)


@pytest.mark.parametrize("base_url", ["http://localhost:8000", "http://192.168.1.5:8000", "http://tape.lan"])
def test_elsewhere_over_http_there_is_no_client(base_url):
    assert oauth_app(base_url, SCOPE, ()) is None


def test_over_https_it_is_a_confidential_client_that_says_so():
    app = oauth_app("https://tape.example.net", SCOPE, KEYS)
    metadata = app.metadata()
    assert app.client_id == metadata["client_id"] == "https://tape.example.net/oauth-client-metadata.json"
    assert metadata["redirect_uris"] == [app.redirect_uri] == ["https://tape.example.net/auth/callback"]
    assert metadata["token_endpoint_auth_method"] == "private_key_jwt"
    assert metadata["jwks_uri"] == "https://tape.example.net/jwks.json"
    assert metadata["dpop_bound_access_tokens"] is True
    assert metadata["scope"] == SCOPE


def test_the_first_key_signs_and_all_are_published_without_their_secret():
    app = oauth_app("https://tape.example.net", SCOPE, KEYS)
    assert app.newest_key is KEYS[0]
    published = app.jwks()["keys"]
    assert [key["kid"] for key in published] == [key.kid for key in KEYS]
    assert all(key.keys() == {"kty", "crv", "x", "y", "kid", "use", "alg"} for key in published)


def test_keys_do_not_show():
    secret = scalar_of(KEYS[0].private).get_secret_value()
    assert secret not in repr(KEYS) + str(KEYS[0])


def changed(**changes):
    return json.dumps([new_signing_key() | changes])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "[1]",
        changed(kid=""),
        changed(d=""),
        changed(d="!"),
        changed(x=new_signing_key()["x"]),
        json.dumps([new_signing_key() | {"kid": "1"}, new_signing_key() | {"kid": "1"}]),
    ],
)
def test_what_is_no_list_of_private_keys_is_refused_without_repeating_it(text):
    with pytest.raises(ValueError, match=r"^(not|two|a key|d is|x and)") as refused:
        signing_keys(text)
    assert refused.value.__cause__ is None
