"""A person who signs in waits for no server longer than they would."""

import asyncio

import pytest

from identity.errors import IdentityUnreachableError
from identity.oauth import sign_in
from identity.oauth.sign_in import OAuthSignIn, oauth_app


class Hangs:
    """An authorization server that never answers."""

    def flow(self, *_of):
        return self

    async def begin(self, _identifier):
        await asyncio.Event().wait()


def test_a_sign_in_gives_up_after_ten_seconds_and_says_so(monkeypatch):
    assert sign_in.PATIENCE_SECONDS == 10
    monkeypatch.setattr(sign_in, "PATIENCE_SECONDS", 0.01)
    starts = OAuthSignIn(oauth_app("http://127.0.0.1:8000", "atproto", ()), Hangs(), None, None)
    with pytest.raises(IdentityUnreachableError, match="no answer within"):
        asyncio.run(starts.start("alice.test", return_to="/studio"))
