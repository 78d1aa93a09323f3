"""Hosts, lanes and records say since when they fail, why at first, and when the last success was."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from outbox.mirror.hosts import Hosts
from outbox.mirror.states import MirrorReason
from outbox.pds.verdict import HOUR_SECONDS
from outbox.views import overview
from outbox.views.failures import failing
from tests.outbox.rigs.foreign_writes import delivered
from tests.outbox.rigs.relay_rig import Rig
from tests.outbox.rigs.rows import lane_row, set_host
from tests.outbox.rigs.wire import answered, as_it_is, refused
from tests.servers.databases import ON_SQLITE

pytestmark = [pytest.mark.anyio, ON_SQLITE]


def near(time: datetime | None, other: datetime) -> bool:
    """Whether these are of the same moment: the clock of the rig moves little by itself."""
    return time is not None and abs(time - other) < timedelta(seconds=10)


def lane(rig: Rig) -> Any:
    with rig.database.read() as connection:
        return overview.lane_of(connection, rig.did)


async def fail(rig: Rig, *faults: Any) -> None:
    """Meet each of these faults, in runs of their own."""
    for fault in faults:
        rig.wire.faults = [fault]
        rig.clock.advance(minutes=10)
        await rig.relay_once()


async def test_a_record_fails_since_its_first_failure_until_a_success(desk: Rig) -> None:
    desk.upload()
    await fail(desk, answered(500, "InternalServerError", "first"))
    began = desk.clock()
    await fail(desk, answered(500, "InternalServerError", "second"))
    mirror = desk.mirror()
    assert near(mirror.failing_since, began)
    assert mirror.last_success_at is None
    assert (mirror.first_error, mirror.last_error) == (
        "InternalServerError: first",
        "InternalServerError: second",
    )
    desk.edit(title="another")  # which makes it no better
    assert desk.mirror().failing_since == mirror.failing_since

    await desk.relay_once()

    mirror = desk.mirror()
    assert (mirror.failing_since, mirror.first_error) == (None, None)
    assert near(mirror.last_success_at, desk.clock())


async def test_a_rate_limit_is_no_failure(desk: Rig) -> None:
    desk.upload()
    await fail(desk, answered(429, "RateLimitExceeded"))
    assert desk.mirror().failing_since is None
    assert lane(desk).failing_since is None


async def test_an_upload_that_fails_says_since_when(desk: Rig) -> None:
    await delivered(desk)
    desk.command(1, lambda track: track.request_blob_migration(at=desk.clock()))
    await fail(desk, refused)
    began = desk.clock()
    mirror = desk.mirror()
    assert near(mirror.failing_since, began)
    assert mirror.first_error == "ConnectError: refused"


async def test_an_account_that_was_not_tried_fails_since_its_host_does(desk: Rig) -> None:
    began = desk.clock()
    set_host(desk.database, desk.pds.url, breaker="open", failing_since=began, first_error="ConnectError: x")
    now = lane(desk)
    assert (now.mirror_state, now.failing_since) == (MirrorReason.PDS_AWAY, began)
    assert now.first_error == "ConnectError: x"


async def test_a_lane_that_waits_for_a_sign_in_says_since_when(desk: Rig) -> None:
    desk.upload()
    await fail(desk, answered(401, "ExpiredToken", "no more"))
    began = desk.clock()
    desk.clock.advance(hours=1)
    now = lane(desk)
    assert now.mirror_state == "auth_required"
    assert near(now.failing_since, began)
    assert now.first_error == "ExpiredToken: no more"
    desk.sign_in()
    assert lane(desk).failing_since is None


async def test_a_success_before_a_failure_in_the_same_run_counts(desk: Rig) -> None:
    desk.upload(1)
    desk.upload(2)
    await fail(desk)
    desk.clock.advance(minutes=1)
    desk.wire.faults = [as_it_is, refused]
    await desk.relay_once()
    now = lane_row(desk.database, desk.did)
    assert near(now.last_success_at, desk.clock())
    assert near(now.failing_since, desk.clock())


async def test_the_next_attempt_of_a_failing_record_counts_the_waits_of_its_host(desk: Rig) -> None:
    desk.upload()
    await fail(desk, refused)
    until = desk.clock() + timedelta(seconds=HOUR_SECONDS)
    set_host(desk.database, desk.pds.url, retry_at=until)
    [row] = desk.rows(failing(limit=1))
    assert max(row.not_before, row.waits_until) == until
    assert desk.mirror().next_attempt_at == until


async def test_a_delivery_to_a_host_that_is_well_writes_no_host(desk: Rig, monkeypatch: Any) -> None:
    await delivered(desk)
    desk.edit(title="another")
    recorded: list[object] = []
    monkeypatch.setattr(Hosts, "record", lambda _self, report: recorded.append(report))
    await desk.relay_once()
    assert (desk.mirror().state, recorded) == ("delivered", [])
