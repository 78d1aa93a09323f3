"""A PDS with sessions only, whose refresh tokens work once.

Stricter than the real PDS and than tests/fake_pds, which both accept a refresh token again: a session that is refreshed
twice must fail here. It is a class of its own because it holds the tokens of one account and scripts their answers.
"""

import base64
import json
import threading
import time
from contextlib import contextmanager

import httpx

from tests.servers.plain_http import reply, serving

DID = "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa"
ORIGIN = "https://pds.example.com"


def jwt(name, *, seconds=7200, scope="com.atproto.appPass"):
    claims = {"sub": DID, "jti": name, "exp": int(time.time()) + seconds, "scope": scope}
    return f"e30.{base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip('=')}.{name}"


def error(name, status=400):
    return httpx.Response(status, json={"error": name, "message": name})


class FakePds:
    def __init__(self):
        self.number = 1
        self.refreshes = 0
        self.bodies = []
        self.requests = []
        self.on_refresh = lambda: None
        self.before_refresh = lambda: None
        self.deleted = []
        self.on_delete = error("MethodNotImplemented", 501)
        self._lock = threading.Lock()
        self._made = {}

    @property
    def access(self):
        return self._made.setdefault(f"access{self.number}", jwt(f"access{self.number}"))

    @property
    def refresh(self):
        return self._made.setdefault(
            f"refresh{self.number}", jwt(f"refresh{self.number}", seconds=90 * 86400)
        )

    def session(self, **more):
        return {"did": DID, "handle": "a.test", "accessJwt": self.access, "refreshJwt": self.refresh, **more}

    def answer(self, path, authorization, body=b""):
        if path.endswith("/com.atproto.server.refreshSession"):
            self.before_refresh()
            with self._lock:
                return self._answer_refresh(authorization)
        if path.endswith("/com.atproto.server.deleteSession"):
            self.deleted.append(authorization)
            return self.on_delete
        with self._lock:
            self.bodies.append(body)
            if authorization != f"Bearer {self.access}":
                return error("ExpiredToken")
            return httpx.Response(200, json={"did": DID})

    def _answer_refresh(self, authorization):
        self.refreshes += 1
        if (scripted := self.on_refresh()) is not None:
            return scripted
        if authorization != f"Bearer {self.refresh}":
            return error("ExpiredToken")
        self.number += 1
        return httpx.Response(200, json=self.session())

    async def __call__(self, request):
        body = await request.aread()
        self.requests.append(request)
        return self.answer(request.url.path, request.headers.get("authorization"), body)


@contextmanager
def served(fake):
    def answer(handler):
        said = fake.answer(handler.path, handler.headers.get("authorization"))
        reply(handler, said.status_code, said.content, content_type="application/json")

    with serving(answer) as port:
        yield f"http://localhost:{port}"
