"""A browser, with cookies, that signs in with OAuth."""

import io
import wave

import httpx

from demo.service import Client
from tests.e2e.artist import Artist
from tests.servers.consent import Consenter

HTML = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


class Visitor(Client):
    """Speaks to the service with cookies alone."""

    def __init__(self, url, *, verify=True):
        self.http = httpx.Client(base_url=url, timeout=60, verify=verify)
        self._verify = verify

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.close()

    def starts(self, handle, **query):
        """Ask to be sent to the PDS; gives its address there."""
        answer = self.http.get("/auth/login", params={"handle": handle, **query})
        assert answer.status_code == 303, answer.text
        return answer.headers["location"]

    def consents(self, account, **query):
        """Say yes at the PDS; gives what the browser is sent back with."""
        url = self.starts(account.handle, **query)
        return Consenter(url, verify=self._verify).consents(account.handle, account.password)

    def comes_back(self, query, **headers):
        return self.http.get("/auth/callback", params=query, headers=headers)

    def signs_in(self, account, **query):
        answer = self.comes_back(self.consents(account, **query))
        assert answer.status_code == 303, answer.text
        return answer

    def me(self):
        """GET /me, whatever it says."""
        return self.http.get("/me")


def wav(megabytes):
    """Silence of that size."""
    held = io.BytesIO()
    with wave.open(held, "wb") as sound:
        sound.setnchannels(2)
        sound.setsampwidth(2)
        sound.setframerate(44100)
        sound.writeframes(bytes(megabytes * 1024 * 1024))
    return held.getvalue()


class OAuthArtist(Artist):
    def __init__(self, service, pds, account):
        super(Artist, self).__init__(Visitor(service.url), pds, account.did, "")
        self.account = account
