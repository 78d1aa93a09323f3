"""A relay whose lanes are in many parts: what is due starts in time, and turns and limits hold over all parts."""

import pytest

from eventstore.coordination import due_parts
from eventstore.sql.database import Database
from eventstore.streams.buckets import bucket_of, divided
from outbox.mirror.tables import NEVER
from outbox.relay.claim import claim
from outbox.relay.relay import Relay
from tests.dsl import BOB
from tests.outbox.rigs.relay_rig import FOR_EVER, Rig, running, seconds_until_found, until_delivered
from tests.outbox.rigs.rows import HOST, LEASE, add_lane, dids, set_host
from tests.servers.databases import IN_ONE_PART, ON_POSTGRES
from tests.statements import recorded_statements

pytestmark = pytest.mark.anyio
PARTS = divided(16)
in_parts = pytest.mark.parametrize(
    ("migrated_url", "parts"),
    [("sqlite", 1), pytest.param("postgres", len(PARTS), marks=pytest.mark.postgres)],
    indirect=True,
)
START = Relay._start_due  # noqa: SLF001


def part_of(did: str) -> int:
    return bucket_of(did) * len(PARTS) // 4096


@pytest.fixture
def parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due_parts, "parts_of", lambda _: divided(request.param))


@in_parts
@pytest.mark.usefixtures("parts")
async def test_a_lane_that_no_wake_told_of_is_found_within_fifteen_seconds(desk: Rig) -> None:
    assert await seconds_until_found(desk) <= 15
    assert desk.mirror().state == "delivered"


@in_parts
@pytest.mark.usefixtures("_never_polls", "parts")
async def test_a_wake_that_names_the_bucket_is_enough(desk: Rig) -> None:
    desk.clock.run()
    await desk.relay_once()
    async with running(desk):
        desk.upload()
        desk.relay.wake(bucket_of(desk.did))
        await until_delivered(desk)
        desk.edit(title="after a pause of the lane")
        desk.relay.wake(bucket_of(desk.did))
        await until_delivered(desk)


@in_parts
@pytest.mark.usefixtures("_never_polls", "parts")
async def test_what_waits_for_its_host_in_another_part_starts_as_the_host_is_free(desk: Rig) -> None:
    assert part_of(desk.did) != part_of(BOB)
    desk.sign_in(BOB)
    set_host(desk.database, desk.pds.url, max_lanes=1)
    desk.upload(1)
    desk.upload(2, did=BOB)
    async with running(desk):
        desk.relay.wake()
        await until_delivered(desk, 1)
        await until_delivered(desk, 2)


@IN_ONE_PART
@ON_POSTGRES
@pytest.mark.usefixtures("_never_polls")
async def test_a_wake_costs_no_statement_more_on_many_parts_than_on_one(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.relay.relay.EARLY_RELEASE_SECONDS", FOR_EVER)
    statements: dict[int, int] = {}
    for number in (1, 16):
        monkeypatch.setattr(due_parts, "parts_of", lambda _, number=number: divided(number))
        relay = desk.another_relay(f"of {number}")
        await relay.run_once()
        relay._parts.make_due(bucket_of(desk.did))  # noqa: SLF001
        with recorded_statements(desk.database.engine) as recorded:
            await START(relay)
        statements[number] = len(recorded)
    assert statements[1] == statements[16] > 0


@ON_POSTGRES
def test_a_hosts_limit_holds_over_all_parts(database: Database) -> None:
    for number in range(40):
        add_lane(database, number)
    set_host(database, HOST, max_lanes=3)
    taken = [len(claim(database, PARTS, owner="one", limit=limit, lease=LEASE)) for limit in (1, 100, 100)]
    assert taken == [1, 2, 0]


@ON_POSTGRES
def test_the_longest_due_of_all_parts_are_first(database: Database) -> None:
    lanes = [add_lane(database, number) for number in range(40)]
    set_host(database, HOST, max_lanes=5)
    taken = dids(claim(database, PARTS, owner="one", limit=5, lease=LEASE))
    assert len({*map(part_of, taken)}) < len(taken), "two are of one part"
    assert taken == lanes[:5]


@ON_POSTGRES
@pytest.mark.parametrize("limits", [{"limit": 5}, {"limit": 100, "backfill": 5}])
def test_a_relays_own_limits_hold_over_all_parts(database: Database, limits: dict[str, int]) -> None:
    with database.read_committed() as connection:
        now = database.now(connection)
    due = {"due_at": NEVER, "backfill_at": now} if "backfill" in limits else {"due_at": now}
    for number in range(40):
        add_lane(database, number, **due)
    set_host(database, HOST, max_lanes=100)
    assert len(claim(database, PARTS, owner="one", lease=LEASE, **limits)) == 5
