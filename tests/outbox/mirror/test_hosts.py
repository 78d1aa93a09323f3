"""A host that fails is left alone, for longer each time; one account's trouble is not its host's."""

from datetime import timedelta
from itertools import pairwise
from typing import Any

import httpx
import pytest

from eventstore.sql.database import Database
from outbox.mirror.hosts import (
    FIRST_PAUSE_SECONDS,
    LONGEST_PAUSE_SECONDS,
    OPENS_AFTER_FAILURES,
    HostReport,
    Hosts,
)
from outbox.mirror.lanes import release
from outbox.mirror.states import BreakerState, LaneState
from outbox.mirror.tables import PAST
from outbox.pds.verdict import NOT_OF_PDS, Phase, verdict_of_reply
from outbox.relay.result import Outcome
from tests.dsl import BOB
from tests.outbox.rigs.hosts import FAILED, ONE, OTHER, host_row, limited, opened, report_verdicts, state
from tests.outbox.rigs.relay_rig import Clock, Rig
from tests.outbox.rigs.rows import HOST, add_lane, claimed, dids, set_host
from tests.outbox.rigs.wire import answered, page, refused
from tests.servers.databases import ON_BOTH, ON_SQLITE

pytestmark = ON_SQLITE
TAKEN = verdict_of_reply(httpx.Response(200, json={}))
REFUSED_RECORD = verdict_of_reply(httpx.Response(400, json={"error": "InvalidRecord"}))


def after_its_pause(database: Database, clock: Clock) -> None:
    clock.ahead += host_row(database).retry_at - clock()
    assert state(database) == BreakerState.HALF_OPEN


def lanes(database: Database, count: int) -> None:
    for number in range(1, count + 1):
        add_lane(database, number)


def test_failures_of_two_accounts_in_a_row_open_the_breaker_and_nothing_is_sent(database: Database) -> None:
    lanes(database, 3)
    report_verdicts(database, *[(did, FAILED) for did in (ONE, OTHER, ONE, OTHER)])
    assert state(database) == BreakerState.CLOSED
    report_verdicts(database, (ONE, FAILED))
    assert state(database) == BreakerState.OPEN
    assert claimed(database) == []


def test_one_accounts_failures_never_open_it(database: Database) -> None:
    lanes(database, 3)
    report_verdicts(database, *[(ONE, FAILED)] * (5 * OPENS_AFTER_FAILURES))
    assert state(database) == BreakerState.CLOSED
    assert len(claimed(database)) == 3


@ON_BOTH
def test_the_failures_of_a_hosts_only_account_open_it(database: Database) -> None:
    only = add_lane(database, 1)
    add_lane(database, 2, host="http://other.test")
    report_verdicts(database, *[(only, FAILED)] * (OPENS_AFTER_FAILURES - 1))
    assert state(database) == BreakerState.CLOSED
    report_verdicts(database, (only, FAILED))
    assert state(database) == BreakerState.OPEN


@ON_BOTH
@pytest.mark.parametrize("waits", [{"state": LaneState.AUTH_REQUIRED}, {"paused": True}])
def test_an_account_that_is_sent_nothing_does_not_vouch_for_its_host(
    database: Database, waits: dict[str, Any]
) -> None:
    only = add_lane(database, 1)
    add_lane(database, 2, **waits)
    report_verdicts(database, *[(only, FAILED)] * OPENS_AFTER_FAILURES)
    assert state(database) == BreakerState.OPEN


@pytest.mark.anyio
async def test_a_record_without_an_answer_keeps_back_no_other_of_its_hosts_only_account(desk: Rig) -> None:
    unanswered = desk.upload(1)
    send = desk.wire.request

    async def request(did: str, method: str, nsid: str, **given: Any) -> httpx.Response:
        if given["json"]["rkey"] == unanswered.rkey:
            raise httpx.ReadTimeout("no answer")
        return await send(did, method, nsid, **given)

    desk.wire.request = request  # type: ignore[method-assign]
    for _ in range(3 * OPENS_AFTER_FAILURES):
        await desk.relay_once()
        desk.clock.advance(minutes=3)
    assert host_row(desk.database, desk.pds.url).breaker == BreakerState.OPEN

    desk.upload(2)
    desk.clock.advance(seconds=LONGEST_PAUSE_SECONDS)
    await desk.relay_once()

    assert [desk.mirror(number).state for number in (1, 2)] == ["pending", "delivered"]


@pytest.mark.anyio
async def test_a_proxy_that_forbids_everything_for_hours_is_an_outage_of_the_host(desk: Rig) -> None:
    desk.upload()
    desk.wire.faults += [page(403, html="<h1>Forbidden</h1>")] * 1000
    for _ in range(3 * OPENS_AFTER_FAILURES):
        await desk.relay_once()
        desk.clock.advance(minutes=20)

    host, mirror = host_row(desk.database, desk.pds.url), desk.mirror()
    assert (host.breaker, mirror.state, mirror.reason) == (BreakerState.OPEN, "pending", "backoff")
    assert host.last_error == mirror.last_error == f"http_403: {NOT_OF_PDS}"

    desk.wire.faults.clear()
    desk.clock.advance(minutes=20)
    await desk.relay_once()
    assert desk.mirror().state == "delivered"


def test_any_answer_of_its_own_ends_a_row_of_failures(database: Database) -> None:
    lanes(database, 1)
    report_verdicts(database, *[(did, FAILED) for did in (ONE, OTHER, ONE, OTHER)])
    report_verdicts(database, (ONE, REFUSED_RECORD))
    report_verdicts(database, *[(did, FAILED) for did in (ONE, OTHER, ONE, OTHER)])
    assert state(database) == BreakerState.CLOSED


@ON_BOTH
def test_each_success_lets_one_more_in_until_all_may(database: Database, clock: Clock) -> None:
    lanes(database, 12)
    opened(database)
    after_its_pause(database, clock)
    at_once = []
    for _ in range(4):
        held = claimed(database)
        at_once.append(len(held))
        assert claimed(database) == []
        for lane in held:
            release(database, lane)
        report_verdicts(database, (held[0].did, TAKEN))
    assert at_once == [1, 2, 3, 4]
    assert host_row(database).openings == 0


def test_each_failed_try_doubles_the_pause_up_to_ten_minutes(database: Database, clock: Clock) -> None:
    lanes(database, 1)
    opened(database)
    pauses = []
    for _ in range(12):
        pauses.append((host_row(database).retry_at - clock()).total_seconds())
        after_its_pause(database, clock)
        report_verdicts(database, (ONE, FAILED))
        assert state(database) == BreakerState.OPEN
    assert 2.4 <= pauses[0] <= 5
    assert all(later >= 0.99 * earlier for earlier, later in pairwise(pauses[:7]))
    assert 299 <= pauses[-1] <= 600


def test_what_breaks_down_each_time_neither_opens_it_nor_makes_its_pauses_longer(
    database: Database, clock: Clock
) -> None:
    lanes(database, 1)
    broken = verdict_of_reply(httpx.Response(500, json={"error": "InternalServerError"}))
    for did in [ONE, OTHER] * OPENS_AFTER_FAILURES:
        Hosts(database).record(HostReport.of(HOST, did, broken, breaks_down_again=True))
    assert state(database) == BreakerState.CLOSED

    opened(database)
    for _ in range(5):
        after_its_pause(database, clock)
        Hosts(database).record(HostReport.of(HOST, ONE, broken, breaks_down_again=True))
        assert state(database) == BreakerState.OPEN
        assert host_row(database).retry_at - clock() <= timedelta(seconds=FIRST_PAUSE_SECONDS)


def test_what_was_sent_before_it_opened_makes_no_pause_longer(database: Database) -> None:
    lanes(database, 1)
    opened(database)
    before = host_row(database)
    report_verdicts(database, (OTHER, FAILED), (ONE, FAILED))
    assert host_row(database) == before


def test_a_host_that_fails_again_before_all_may_is_left_alone_for_longer(
    database: Database, clock: Clock
) -> None:
    lanes(database, 1)
    opened(database)
    after_its_pause(database, clock)
    report_verdicts(database, (ONE, TAKEN))
    assert state(database) == BreakerState.CLOSED
    opened(database)
    assert host_row(database).openings == 2


def test_a_host_that_is_well_is_not_written(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    lanes(database, 1)
    monkeypatch.setattr(database, "write", None)
    report_verdicts(database, (ONE, TAKEN), (OTHER, REFUSED_RECORD))


@ON_BOTH
def test_a_fifth_of_a_hosts_budget_is_left_alone(database: Database, clock: Clock) -> None:
    lanes(database, 2)
    report_verdicts(database, (ONE, verdict_of_reply(limited(601, "3000;w=300"))))
    assert len(claimed(database, limit=1)) == 1
    report_verdicts(database, (ONE, verdict_of_reply(limited(600, "3000;w=300"))))
    assert claimed(database) == []
    clock.advance(seconds=92)
    assert len(claimed(database)) == 2


def test_a_hosts_429_holds_all_of_its_lanes_and_of_no_other(database: Database, clock: Clock) -> None:
    lanes(database, 3)
    elsewhere = add_lane(database, 9, host="http://other.test")
    report_verdicts(database, (ONE, verdict_of_reply(limited(0, "3000;w=300", status=429))))
    assert dids(claimed(database)) == [elsewhere]
    clock.advance(seconds=89)
    assert "did:plc:1" not in dids(claimed(database))
    clock.advance(seconds=3)
    assert len(claimed(database)) == 3


def test_a_hosts_budget_is_written_down_now_and_then_and_not_at_each_answer(database: Database) -> None:
    lanes(database, 1)
    writes, real = 0, database.write

    def counted() -> Any:
        nonlocal writes
        writes += 1
        return real()

    database.write = counted  # type: ignore[method-assign]
    for left in range(2999, 2000, -1):
        report_verdicts(database, (ONE, verdict_of_reply(limited(left, "3000;w=300"))))
    assert host_row(database).budget_left < 2300
    assert writes <= 5


def test_uploads_have_a_budget_of_their_own_and_use_it_up(database: Database) -> None:
    lanes(database, 1)
    report_verdicts(database, (ONE, verdict_of_reply(limited(1, "1000;w=86400"), Phase.UPLOAD)))
    assert host_row(database).blobs_after == PAST
    report_verdicts(database, (ONE, verdict_of_reply(limited(0, "1000;w=86400"), Phase.UPLOAD)))
    assert host_row(database).blobs_after > PAST
    assert len(claimed(database)) == 1


def test_an_accounts_budget_is_not_the_hosts(database: Database) -> None:
    lanes(database, 2)
    for status in (200, 429):
        report_verdicts(database, (ONE, verdict_of_reply(limited(0, "5000;w=3600", status=status))))
    assert len(claimed(database)) == 2


@pytest.mark.anyio
async def test_a_host_that_is_away_costs_its_other_accounts_nothing_once_it_is_known(desk: Rig) -> None:
    for number in range(1, 9):
        did = f"{BOB}{number}"
        desk.sign_in(did)
        desk.upload(number, did=did)
    desk.wire.faults += [refused] * 8
    ended = await desk.relay_once()
    assert OPENS_AFTER_FAILURES <= ended[Outcome.FAILED] < 8
    desk.wire.faults.clear()
    desk.wire.sent.clear()
    assert await desk.relay_once() == {}
    assert desk.wire.sent == []

    desk.clock.advance(minutes=10)
    assert await desk.relay_once() == {Outcome.DELIVERED: 8}
    assert host_row(desk.database, desk.pds.url).ramp is None


@pytest.mark.anyio
async def test_a_failed_upload_counts_against_its_host(desk: Rig) -> None:
    people = {number: f"{BOB}{number}" for number in (1, 2)}
    for number, did in people.items():
        desk.sign_in(did)
        desk.upload(number, did=did)
    assert await desk.relay_once() == {Outcome.DELIVERED: 2}
    for number, did in people.items():
        desk.command(number, lambda track: track.request_blob_migration(at=desk.clock()), did=did)
    set_host(desk.database, desk.pds.url, failures=OPENS_AFTER_FAILURES - 2, failing_did=people[1])
    desk.wire.faults += [answered(503, "NotReady")] * 2

    await desk.relay_once()

    assert host_row(desk.database, desk.pds.url).breaker == BreakerState.OPEN
