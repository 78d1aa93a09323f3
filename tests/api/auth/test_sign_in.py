"""Signing in with an app password, signing out, and what the session cookie may be used for."""

from dataclasses import dataclass
from datetime import timedelta

import pytest

from identity.accounts.credentials import CredentialKind
from identity.errors import AccountInactiveError, BadCredentialsError, IdentityUnreachableError
from tests.api.auth.fake_oauth import signed_in
from tests.api.world import did_of, refusal
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE


@dataclass
class Door:
    """Takes one password, and says what it was asked."""

    world: object
    error: Exception | None = None
    asked: tuple = ()

    async def __call__(self, identifier, password, **fields):
        self.asked = (identifier, password.get_secret_value(), fields)
        if self.error is not None:
            raise self.error
        return signed_in(self.world, "dora", fields["expires_in"])


@pytest.fixture
def door(world):
    return Door(world)


@pytest.fixture
def client(world, door):
    return world.serve(sign_in=door)


GIVEN = {"identifier": "dora.test", "password": "abcd-efgh"}


@pytest.mark.parametrize("how", ["json", "data"])
def test_the_token_and_the_cookie_authenticate(client, door, how):
    answer = client.post("/auth/app-password", **{how: GIVEN})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["did"], body["handle"], body["scope"]) == (did_of("dora"), "dora.test", "write")
    assert door.asked[:2] == ("dora.test", "abcd-efgh")
    cookie = answer.headers["set-cookie"].lower()
    assert "mastertape_session=" in cookie
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert "no-store" in answer.headers["cache-control"]
    bearer = {"Authorization": f"Bearer {body['token']}"}
    client.cookies.clear()
    assert client.get("/me", headers=bearer).json()["display_name"] == "Dora"
    assert client.get("/me").status_code == 401
    assert (
        client.get("/me", headers={"Cookie": f"mastertape_session={body['token']}"}).json()["handle"]
        == "dora.test"
    )


def test_a_token_may_be_asked_for_with_a_name_a_scope_and_a_time(client, door):
    client.post("/auth/app-password", json={**GIVEN, "name": "ci", "scope": "read", "expires_in_days": 7})
    fields = door.asked[2]
    assert (fields["name"], fields["scope"], fields["expires_in"]) == ("ci", "read", timedelta(days=7))


def test_what_makes_no_sense_is_named(subtests, client, door):
    wrong = {
        "identifier": ("", 3, "x" * 513),
        "password": ("",),
        "scope": ("all",),
        "expires_in_days": (0, 0.5, 366, "soon"),
    }
    for field, value in ((field, value) for field, values in wrong.items() for value in values):
        with subtests.test(f"{field} {value}"):
            answer = client.post("/auth/app-password", json={**GIVEN, field: value})
            assert refusal(answer) == (400, "invalid_field")
            assert answer.json()["detail"]["field"] == field
    assert door.asked == ()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (BadCredentialsError(), (401, "bad_credentials")),
        (AccountInactiveError(), (403, "account_inactive")),
        (IdentityUnreachableError("secret host"), (503, "identity_unreachable")),
    ],
)
def test_a_sign_in_that_fails_says_why_and_sets_no_cookie(client, door, error, expected):
    door.error = error
    answer = client.post("/auth/app-password", json=GIVEN)
    assert refusal(answer) == expected
    assert "set-cookie" not in answer.headers
    assert "secret" not in answer.text
    assert GIVEN["password"] not in answer.text


def test_without_app_passwords_there_is_no_such_route(world):
    answer = world.serve(sign_in=None).post("/auth/app-password", json=GIVEN)
    assert refusal(answer) == (404, "not_found")


def test_logout_without_a_session_is_no_error(client):
    assert client.post("/auth/logout").status_code == 200
    assert client.post("/auth/logout", headers={"Authorization": "Bearer x"}).status_code == 200


def test_logout_does_not_end_an_api_token(client, world):
    headers = world.sign_in("eve", kind=CredentialKind.API).headers
    client.post("/auth/logout", headers=headers)
    assert client.get("/me", headers=headers).json()["admin"] is False


SAME = [
    {},
    {"Origin": "http://127.0.0.1:8000"},
    {"Sec-Fetch-Site": "same-origin"},
    {"Origin": "https://app.example"},
]


def test_our_own_pages_and_programs_may(world, door):
    client = world.serve(sign_in=door, cors_origins=("https://app.example",))
    client.post("/auth/app-password", json=GIVEN)
    for headers in SAME:
        assert refusal(client.delete("/tracks/1", headers=headers)) == (404, "track_not_found"), headers
