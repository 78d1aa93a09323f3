"""A fake internet with one PDS and one account, and the captured log: for tests that secrets stay secret."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from service.observability.logging import JsonLines
from tests.fake_pds.internet import FakeInternet

DID = "did:plc:" + "a" * 24
PDS = "https://pds.example.com"


class OneAccount(FakeInternet):
    def __init__(self) -> None:
        super().__init__(PDS)
        [self.pds] = self.pdses
        self.password = self.settle(DID, "alice.example.com", self.pds)


def route_pds_requests_to(internet: FakeInternet, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every container built from now on send its PDS requests to the fake internet."""
    monkeypatch.setattr(
        "service.wiring.bootstrap.pds_http_client", lambda *_, **__: httpx.AsyncClient(transport=internet)
    )


def sign_in(client: httpx.Client, internet: OneAccount) -> str:
    """Sign in, and go on with the token in place of the cookie; returns the token."""
    signed_in = client.post("/auth/app-password", json={"identifier": DID, "password": internet.password})
    token = signed_in.json()["token"]
    client.cookies.clear()
    client.headers["authorization"] = f"Bearer {token}"
    return str(token)


@contextmanager
def captured_log() -> Iterator[io.StringIO]:
    """The log of `serve` at level debug, without that of the test's own HTTP client."""
    text, root = io.StringIO(), logging.getLogger()
    handler, level = logging.StreamHandler(text), root.level
    handler.setFormatter(JsonLines())
    handler.addFilter(lambda record: not record.name.startswith("httpx2"))
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield text
    finally:
        root.setLevel(level)
        root.removeHandler(handler)
