"""A fake of the OAuth sign-in, and a browser that goes through it."""

import pytest
from pydantic import SecretStr

from identity.accounts.sign_in import BROWSER_SESSION_TTL, SignInResult
from identity.oauth.sign_in import AskedSignIn, StartedSignIn, oauth_app

STATE = "s" * 43
CONSENT = "https://pds.example.com/oauth/authorize?request_uri=r"
APP = "https://app.example"


class FakeOAuth:
    """Signs in the account named `who`, or raises `error`."""

    def __init__(self, world, app=None):
        self.world = world
        self.app = app or oauth_app("http://127.0.0.1:8000", "atproto", ())
        self.name = "dora"
        self.error = None
        self.asked = []
        self.started = None

    async def start(self, identifier, *, return_to, scope):
        self.scope = scope
        self.asked.append((identifier, return_to))
        self.return_to = return_to
        if self.error is not None:
            raise self.error
        self.started = AskedSignIn(identifier=identifier, return_to=return_to, scope=scope)
        return StartedSignIn(CONSENT, STATE, SecretStr("sealed-" + return_to.strip("/")))

    def attempted(self, _state, cookie):
        return self.started if cookie is not None else None

    async def finish(self, returned, cookie, **_by):
        self.asked.append((returned, cookie))
        if self.error is not None:
            raise self.error
        return signed_in(self.world, self.name, BROWSER_SESSION_TTL, scope=self.scope), self.return_to


def signed_in(world, name, expires_in, **fields):
    person = world.sign_in(name, lane=False, expires_in=expires_in, **fields)
    return SignInResult(world.services.accounts.get(person.did), SecretStr(person.token), expires_in)


def sign_in(client, oauth, name="dora"):
    oauth.name = name
    assert client.get("/auth/login", params={"handle": f"{name}.test"}).status_code == 303
    return come_back(client)


def come_back(client, **headers):
    return client.get("/auth/callback", params={"state": STATE, "iss": "i", "code": "c"}, headers=headers)


def signed_in_dids(client):
    return [session["did"] for session in client.get("/auth/accounts").json()["items"]]


def browser(world, oauth):
    """A client that shows where it is sent."""
    client = world.serve(oauth=oauth, cors_origins=(APP,))
    client.follow_redirects = False
    return client


@pytest.fixture
def oauth(world):
    return FakeOAuth(world)


@pytest.fixture
def client(world, oauth):
    return browser(world, oauth)
