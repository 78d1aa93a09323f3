"""Accounts that move from one real PDS to another, or go and come back: the lane follows by itself.

The tests set the service's clock forward instead of waiting for the next probe.
"""

import json
from base64 import urlsafe_b64decode
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from demo.service import Client, Service
from devpds.moving import Move
from devpds.server import DevPds, DevPlc
from outbox.mirror.parking import FIRST_PROBE_PAUSE, PROBE_AFTER_FAILING
from tests.e2e.artist import MIGRATE, RESTORE, Artist
from tests.e2e.conftest import DEEP, environment
from tests.e2e.killable import FOREIGN
from tests.faults.proxy import FaultProxy
from tests.faults.shifted_clock import Ahead, program
from tests.servers.atproto import PdsAccount, new_account
from tests.servers.databases import AND_CITUS, KINDS
from tests.waits import until

pytestmark = pytest.mark.pds

LONGEST_OF_FIRST = 1.11
"""A little is added to every pause by chance."""


@pytest.fixture(scope="module")
def clock(tmp_path_factory: pytest.TempPathFactory) -> Ahead:
    return Ahead(tmp_path_factory.mktemp("clock") / "ahead")


@pytest.fixture(scope="module", params=[*(KINDS if DEEP else KINDS[:1]), *AND_CITUS])
def service_ahead(
    request: pytest.FixtureRequest,
    pds: DevPds,
    proxied_pds: DevPds,
    clock: Ahead,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    data = tmp_path_factory.mktemp("ahead")
    with ExitStack() as stack:
        env = stack.enter_context(environment(request, data, pds, proxied_pds))
        service = Service(data, pds, program=program(clock), env=env)
        service.start()
        stack.callback(service.stop)
        yield service


class Mover(Artist):
    def __init__(self, service: Service, old: DevPds, new: DevPds, account: PdsAccount) -> None:
        super().__init__(service, old, account)
        self.service = service
        self.move = Move(account.did, account.handle, account.password, old, new)
        self.tracks: dict[str, tuple[int, str]] = {}

    def publishes(self, title: str) -> None:
        self.uploads(title=title)
        self.tracks[title] = (self.track_id, self.record_uri)
        self.agreed()

    def takes(self, title: str) -> None:
        self.track_id, self.record_uri = self.tracks[title]

    def retitles(self, title: str, after: str) -> None:
        self.takes(title)
        self.edits(title=after)

    def is_told(self, state: str, reason: str | None) -> None:
        until(lambda: (self.mirror["state"], self.mirror["reason"]) == (state, reason))

    @property
    def host(self) -> str:
        return str(self.client.http.get("/me/mirror").json()["host"])

    def signs_in_at_the_new_host(self) -> None:
        self.pds = self.move.new
        self.client.http.close()
        self.client = Client(self.service.url, self.did, self.pds.create_app_password(self.did))

    def types(self) -> set[str]:
        return {row["type"] for row in self.client.history(self.track_id)}


@pytest.fixture
def mover(
    service_ahead: Service,
    pds: DevPds,
    proxied_pds: DevPds,
    plc: DevPlc,
    proxy: FaultProxy,  # noqa: ARG001
) -> Iterator[Mover]:
    """An artist who will move from the PDS to the one behind the proxy, which records every request."""
    mover = Mover(service_ahead, pds, proxied_pds, new_account(pds, plc))
    yield mover
    mover.client.http.close()


def with_a_login(proxy: FaultProxy, mover: Mover) -> list[Any]:
    """The requests with a login of the moving account; accounts of other tests may still leave this PDS."""
    return proxy.passed(matches=lambda it: bool(it.authorization) and whose(it.authorization) == mover.did)


def whose(authorization: str) -> str:
    payload = authorization.split(".")[1]
    return str(json.loads(urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["sub"])


def test_a_move_is_followed_and_what_was_edited_before_during_and_after_it_arrives_at_the_new_host(
    mover: Mover, clock: Ahead, proxy: FaultProxy
) -> None:
    for title in ("Before", "During", "After", "Untouched"):
        mover.publishes(title)
    mover.takes("Before")
    assert mover.asks(MIGRATE).status_code == 200
    mover.move.create_account()
    mover.move.copy_repo()
    mover.retitles("During", "During: edited after the copy was made")
    mover.agreed()
    mover.publishes("Late")
    mover.move.update_did()
    mover.move.activate()
    mover.retitles("After", "After: edited at nobody")
    mover.is_told("parked", "account_inactive")

    clock.advance(FIRST_PROBE_PAUSE * LONGEST_OF_FIRST)

    until(lambda: mover.host == mover.move.new.url)
    mover.is_told("parked", "auth_required")
    mover.edits(description="The old login is for nobody.")
    assert with_a_login(proxy, mover) == []

    mover.signs_in_at_the_new_host()

    now = {"During": "During: edited after the copy was made", "After": "After: edited at nobody"}
    for title in ("Before", "During", "After", "Untouched"):
        mover.takes(title)
        until(lambda title=title: (mover.record or {}).get("title") == now.get(title, title))
        record = mover.agreed() or {}
        assert ("audioBlob" in record) == (title == "Before")
        assert not mover.types() & FOREIGN
    mover.takes("Late")  # the copy may lack it on purpose: its owner decides
    mover.is_told("detached", "record_missing")
    assert mover.asks(RESTORE).is_success
    assert (mover.agreed() or {})["title"] == "Late"


def test_a_move_away_from_a_host_that_is_switched_off_is_followed(
    mover: Mover, clock: Ahead, proxy: FaultProxy
) -> None:
    mover.publishes("First Take")
    for step in (mover.move.create_account, mover.move.copy_repo, mover.move.update_did, mover.move.activate):
        step()
    mover.move.old.stop()
    try:
        mover.edits(title="Nobody is there")
        mover.is_told("pending", "backoff")
        assert mover.host == mover.move.old.url

        clock.advance(PROBE_AFTER_FAILING * LONGEST_OF_FIRST)

        until(lambda: mover.host == mover.move.new.url)
        assert with_a_login(proxy, mover) == []
        mover.signs_in_at_the_new_host()
        assert (mover.agreed() or {})["title"] == "Nobody is there"
    finally:
        mover.move.old.start()
