"""How long it will take is told from what waits, what it costs, and what the PDSes have told."""

from datetime import timedelta
from typing import Any

import pytest

from eventstore.sql.database import Database
from outbox.mirror.lanes import change_lane
from outbox.mirror.targets import wake_lane
from outbox.pds.verdict import BACKFILL_RESERVE, LIVE_RESERVE
from outbox.views.drain import Drain, drain_of, drains_of_hosts, seconds_to_earn
from tests.outbox.rigs.relay_rig import Clock
from tests.outbox.rigs.rows import HOST, add_lane, add_target, change_target, set_host

HOUR = 3600


def drain(database: Database, did: str, clock: Clock) -> Drain:
    with database.read() as connection:
        return drain_of(connection, did, clock())


def tell(database: Database, did: str, **columns: Any) -> None:
    with database.write() as connection:
        change_lane(connection, did, **columns)


@pytest.mark.parametrize(
    ("live", "backfill", "seconds"),
    [
        (0, 0, 0),
        (1000, 0, 0),  # 2000 left, of which 1000 are not ours
        (1001, 0, 600),
        (5000, 0, 600),
        (5001, 0, 600 + HOUR),
        (0, 1, 600),  # a replay leaves 2500
        (0, 2501, 600 + HOUR),
        (1000, 1, 600),
        (1000, 40_000, 600 + 16 * HOUR),
    ],
)
def test_points_come_back_window_by_window(live: int, backfill: int, seconds: float) -> None:
    reserve = BACKFILL_RESERVE if backfill else LIVE_RESERVE
    budget = {"limit": 5000, "left": 2000, "reset": 600, "window": HOUR}
    assert seconds_to_earn(live + backfill, reserve, **budget) == seconds


@pytest.mark.parametrize(
    ("waiting", "stalled_by"),
    [
        ({}, None),
        ({"rejected": 1, "held": 2}, "held"),
        ({"parked": 1}, "auth_required"),  # an upload
        ({"pending": 1, "rejected": 2}, None),
    ],
)
def test_what_waits_and_cannot_be_sent_stalls_a_lane(waiting: dict[str, int], stalled_by: str | None) -> None:
    told = Drain(0, 0, 0.0).beside(waiting, "auth_required")
    assert (told.seconds, told.stalled_by) == (None if stalled_by else 0.0, stalled_by)


def test_a_budget_whose_reset_has_come_is_whole() -> None:
    budget = {"limit": 5000, "left": 0, "reset": 0, "window": HOUR}
    assert [seconds_to_earn(points, 0.2, **budget) for points in (4000, 4001)] == [0, HOUR]


def test_creates_puts_and_deletes_cost_what_they_cost_and_what_is_done_costs_nothing(
    database: Database, clock: Clock
) -> None:
    did = add_lane(database, 1)
    with database.write() as connection:
        add_target(connection, did, 2, observed_cid="c")
        add_target(connection, did, 3, observed_cid="c", desired_op="delete")
        add_target(connection, did, 4, acked_gen=1)
        add_target(connection, did, 5, state="held")
    told = drain(database, did, clock)
    assert (told.records, told.points) == (3, 3 + 2 + 1)
    assert told.seconds == pytest.approx(0.3)


def test_an_account_without_work_is_drained(database: Database, clock: Clock) -> None:
    did = add_lane(database, 1)
    change_target(database, did, acked_gen=1)
    assert drain(database, did, clock) == drain(database, "did:plc:nobody", clock) == Drain(0, 0, 0.0)


@pytest.mark.parametrize("columns", [{"state": "auth_required"}, {"paused": True}], ids=str)
def test_an_account_that_waits_for_a_person_has_no_time_to_drain(
    database: Database, clock: Clock, columns: dict
) -> None:
    did = add_lane(database, 1, **columns)
    assert drain(database, did, clock) == Drain(1, 3, None, columns.get("state", "paused"))


def test_a_paused_host_and_an_account_that_never_signed_in_have_no_time_to_drain(
    database: Database, clock: Clock
) -> None:
    did = add_lane(database, 1)
    set_host(database, paused=True)
    with database.write() as connection:
        wake_lane(connection, "did:plc:new", clock())
        add_target(connection, "did:plc:new", 7)
    assert drain(database, did, clock).seconds is None
    assert drain(database, "did:plc:new", clock) == Drain(1, 3, None, "auth_required")


def test_an_account_waits_for_its_pause_its_budget_and_its_host(database: Database, clock: Clock) -> None:
    did = add_lane(database, 1)
    soon = clock() + timedelta(seconds=100)
    tell(database, did, paced_until=soon)
    assert drain(database, did, clock).seconds == pytest.approx(100.1, abs=1)
    set_host(database, retry_at=soon + timedelta(seconds=50))
    assert drain(database, did, clock).seconds == pytest.approx(150.1, abs=1)
    reset = soon + timedelta(seconds=500)
    tell(database, did, hour_limit=5000, hour_left=1002, hour_reset=reset)
    assert drain(database, did, clock).seconds == pytest.approx(600.1, abs=1)


def test_a_host_is_drained_when_the_last_of_its_accounts_is(database: Database, clock: Clock) -> None:
    first, last = add_lane(database, 1), add_lane(database, 2)
    add_lane(database, 3, state="auth_required")
    add_lane(database, 4, host="http://other.test")
    tell(database, last, paced_until=clock() + timedelta(seconds=100))
    with database.read() as connection:
        told = drains_of_hosts(connection, [HOST], clock())[HOST]
    assert (told.records, told.points) == (3, 9)
    assert told.seconds == pytest.approx(100.1, abs=1)
    tell(database, first, paused=True)
    tell(database, last, paused=True)
    with database.read() as connection:
        assert drains_of_hosts(connection, [HOST], clock())[HOST].seconds is None


def test_a_hosts_budget_is_shared_by_all_of_its_accounts(database: Database, clock: Clock) -> None:
    for number in range(1, 11):
        add_lane(database, number)
    reset = clock() + timedelta(seconds=200)
    set_host(database, budget_limit=10, budget_left=10, budget_seconds=300, budget_reset=reset)
    with database.read() as connection:
        assert drains_of_hosts(connection, [HOST], clock())[HOST].seconds == pytest.approx(201, abs=1)
