"""An edit whose caller waits leases its account's lane itself, where a poll would have found that it may run."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, Table, select, update

from aggregates.tracks.track import Track
from eventstore.change import Envelope, Via
from eventstore.coordination.commit_signals import awaited
from eventstore.streams.buckets import bucket_of
from eventstore.unit_of_work import UnitOfWork
from outbox.mirror.states import BreakerState, LaneState
from outbox.mirror.tables import mirror_lane, pds_host
from outbox.relay.relay import Relay, RelayLimits
from outbox.threads import in_thread
from tests.dsl import BOB
from tests.outbox.rigs.foreign_writes import delivered
from tests.outbox.rigs.relay_rig import ARTIST, LONG, Rig, running, until_delivered
from tests.outbox.rigs.rows import lane_row
from tests.servers.databases import ON_ONE_NODE, ON_SQLITE
from tests.statements import traced_round_trips

pytestmark = [pytest.mark.anyio, ON_ONE_NODE]  # of several, a relay claims after the commit
FOR_LONG = timedelta(hours=1)
ROUND_TRIPS = 10
"""Five edit and lease, read the target and its events, record the intent and commit; five begin and lock, settle, look for more, release and commit.
The driver takes one more to prepare a statement, now and then."""


@pytest.fixture
async def blind(desk: Rig, monkeypatch: pytest.MonkeyPatch) -> Rig:
    """A relay whose polls find nothing, and a record that was delivered."""
    await delivered(desk, 1)
    desk.clock.advance(minutes=1)
    monkeypatch.setattr(Relay, "_poll", lambda *_, **__: (LONG, []))
    return desk


def edits_and_waits(rig: Rig, track_id: int, did: str, title: str = "waited for") -> None:
    def work(unit: UnitOfWork) -> None:
        rig.relay.claim_with(unit)
        track = unit.load(Track, Track.create_id(track_id))
        track.edit({"title": title}, at=unit.now)
        unit.save(track)

    awaited.set(True)
    rig.log.transact(did, ARTIST, work)


async def test_it_is_delivered_without_a_poll(blind: Rig) -> None:
    async with running(blind):
        await in_thread(edits_and_waits, blind, 1, blind.did)
        await until_delivered(blind)
    assert lane_row(blind.database, blind.did).lease_owner is None


@ON_SQLITE
@pytest.mark.parametrize(
    ("table", "columns"),
    [
        (pds_host, {"paused": True}),
        (pds_host, {"max_lanes": 0}),
        (pds_host, {"failures": 1}),
        (pds_host, {"ramp": 1}),
        (pds_host, {"refuted_writes": 1}),
        (pds_host, {"breaker": BreakerState.OPEN, "retry_at": FOR_LONG}),
        (pds_host, {"paced_until": FOR_LONG}),
        (mirror_lane, {"paused": True}),
        (mirror_lane, {"state": LaneState.AUTH_REQUIRED}),
        (mirror_lane, {"not_before": FOR_LONG}),
        (mirror_lane, {"lease_until": FOR_LONG}),
    ],
    ids=lambda each: getattr(each, "name", str(each)),
)
async def test_it_leaves_to_a_poll_what_may_not_run_now(
    blind: Rig, table: Table, columns: dict[str, Any]
) -> None:
    columns = {
        name: blind.clock() + value if isinstance(value, timedelta) else value
        for name, value in columns.items()
    }
    with blind.database.write() as connection:
        connection.execute(update(table).values(columns))
    before = lane_row(blind.database, blind.did).lease_epoch
    async with running(blind):
        await in_thread(edits_and_waits, blind, 1, blind.did)
    assert lane_row(blind.database, blind.did).lease_epoch == before


async def test_its_intent_is_committed_with_it(blind: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    begun = asyncio.Event()
    monkeypatch.setattr(Relay, "_start", lambda *_: begun.set())
    async with running(blind):
        await in_thread(edits_and_waits, blind, 1, blind.did)
        await asyncio.wait_for(begun.wait(), LONG)
    assert blind.attempts()[-1].gen == blind.mirror().generation


async def test_an_edit_that_is_rolled_back_leaves_nothing_of_its_claim(blind: Rig) -> None:
    def fails(_connection: Connection) -> None:
        raise OSError

    def work(unit: UnitOfWork) -> None:
        blind.relay.claim_with(unit)
        unit.before_commit(fails)
        track = unit.load(Track, Track.create_id(1))
        track.edit({"title": "never committed"}, at=unit.now)
        unit.save(track)

    before = blind.attempts()
    async with running(blind):
        with pytest.raises(OSError):  # noqa: PT011 - its only one
            await in_thread(blind.log.transact, blind.did, ARTIST, work)
        assert (blind.attempts(), lane_row(blind.database, blind.did).lease_owner) == (before, None)
        await in_thread(edits_and_waits, blind, 1, blind.did, "committed")
        await until_delivered(blind)
    with blind.log.unit_of_work(blind.did, ARTIST) as unit:
        track = unit.load(Track, Track.create_id(1))
    assert (track.title, (blind.remote(track) or {})["title"]) == ("committed", "committed")


@ON_SQLITE
async def test_a_relay_that_runs_all_its_lanes_takes_no_more(blind: Rig) -> None:
    blind.relay.limits = RelayLimits(lanes=0)
    before = lane_row(blind.database, blind.did).lease_epoch
    async with running(blind):
        await in_thread(edits_and_waits, blind, 1, blind.did)
    assert lane_row(blind.database, blind.did).lease_epoch == before


async def test_a_relay_without_polls_delivers_it_and_tells_whose_lane_may_have_more(desk: Rig) -> None:
    await delivered(desk, 1)
    desk.clock.advance(minutes=1)
    desk.edit(1, title="found by a poll alone")
    desk.upload(2)
    ended: list[int] = []
    desk.relay.on_ended = lambda *buckets: ended.extend(buckets)
    desk.relay._workers.compare()  # noqa: SLF001 - as its start does, in a thread of its own
    async with running(desk, polls=False):
        desk.relay.wake()
        await in_thread(edits_and_waits, desk, 2, desk.did)
        await until_delivered(desk, 2)
    assert ended == [bucket_of(desk.did)]
    assert lane_row(desk.database, desk.did).lease_owner is None


@ON_SQLITE
async def test_a_relay_that_does_not_run_takes_none(blind: Rig) -> None:
    edits_and_waits(blind, 1, blind.did)
    assert lane_row(blind.database, blind.did).lease_owner is None


@ON_SQLITE
async def test_a_relay_that_stops_takes_none(blind: Rig) -> None:
    async with running(blind):
        assert blind.relay._stop is not None  # noqa: SLF001
        blind.relay._stop.set()  # noqa: SLF001
        await in_thread(edits_and_waits, blind, 1, blind.did)
    assert lane_row(blind.database, blind.did).lease_owner is None
    assert blind.attempts()[-1].gen < blind.mirror().generation


@pytest.mark.databases("postgres")
async def test_of_two_at_once_one_is_left_to_a_poll_which_counts_the_other(blind: Rig) -> None:
    """Both would count before the other's lease is committed, and together pass the host's limit."""
    blind.sign_in(BOB)
    blind.upload(2, did=BOB)
    async with running(blind):
        with blind.log.unit_of_work(blind.did, Envelope("a", Via.CLI, "r")) as unit:
            blind.relay.claim_with(unit)
            track = unit.load(Track, Track.create_id(1))
            track.edit({"title": "first"}, at=unit.now)
            unit.save(track)
            [leased] = unit.connection.scalars(
                select(mirror_lane.c.did).where(mirror_lane.c.lease_owner.is_not(None))
            )
            assert leased == blind.did
            loop = (
                asyncio.get_running_loop()
            )  # whose threads, unlike asyncio's, are in no transaction of ours
            await loop.run_in_executor(None, edits_and_waits, blind, 2, BOB)
        await until_delivered(blind)
    assert lane_row(blind.database, BOB).lease_epoch == 0


@pytest.mark.databases("postgres")
async def test_from_the_edit_to_its_settling_it_takes_few_round_trips(blind: Rig) -> None:
    settled, taken = asyncio.Event(), []
    blind.relay.on_settled = lambda *_: settled.set()
    async with running(blind):
        for number in range(8):
            settled.clear()
            with traced_round_trips(blind.database.engine) as round_trips:
                await in_thread(edits_and_waits, blind, 1, blind.did, f"edit {number}")
                await asyncio.wait_for(settled.wait(), LONG)
                taken.append(round_trips())
    assert min(taken) == ROUND_TRIPS
