"""A PDS with one account in place of the internet, and everything that is logged: for tests of what secrets get to."""

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
    """One PDS, and one account with an app password."""

    def __init__(self) -> None:
        super().__init__(PDS)
        [self.pds] = self.pdses
        self.password = self.settle(DID, "alice.example.com", self.pds)


def let_people_be_at(internet: OneAccount, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every application that is built from now on reach nobody else."""
    monkeypatch.setattr(
        "service.wiring.bootstrap.client_of_people", lambda _settings: httpx.AsyncClient(transport=internet)
    )


@contextmanager
def all_that_is_logged() -> Iterator[io.StringIO]:
    """What `serve` writes at its most talkative, but for what the test's own browser says."""
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
