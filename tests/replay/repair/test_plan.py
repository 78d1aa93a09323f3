"""What a plan says is done, by the relay, and a real PDS agrees with the log again."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from aggregates.published import Subject
from devpds.server import DevPds
from eventstore.coordination.commit_signals import Listener
from outbox.mirror.targets import PUT
from outbox.pds.client import RecordKey
from replay.reconcile.drift import REPAIRS, Drift, DriftKind, Expected, Repair
from replay.reconcile.verify import Repo, Verified
from replay.repair import plan as plans
from replay.repair.jobs import SkipReason
from replay.repair.plan import PlanCounts, columns_of, plan_for
from replay.repair.worker import skip_reason
from tests.dsl import COLLECTION
from tests.outbox.rigs.foreign_writes import take_down
from tests.outbox.rigs.relay_rig import Rig, rig_on
from tests.outbox.rigs.replays import OPERATOR, apply, planned
from tests.servers.atproto import PdsAccount
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE

KEY = RecordKey("did:plc:a", "c", "r")
LOST = Drift(DriftKind.MISSING, KEY, Subject("track", 1), "cid", None, generation=7)
LONG = 30.0


async def applied(rig: Rig) -> Counter[Repair]:
    plan = await planned(rig)
    apply(rig.log, plan, OPERATOR)
    for _ in range(10):
        await rig.relay_once()
    return Counter(step.repair for step in plan.steps)


@pytest.mark.anyio
@pytest.mark.pds
class TestOnTheRealPds:
    async def test_an_emptied_repo_gets_every_record_back(self, each: Rig) -> None:
        tracks = [each.upload(number, description=f"words {number}") for number in range(1, 26)]
        for _ in range(3):
            await each.relay_once()
        before = {track.rkey: each.remote(track) for track in tracks}
        for track in tracks:
            each.pds.delete_record(each.did, track.collection, track.rkey)
        each.wire.sent.clear()
        assert await applied(each) == {Repair.RESTORE: 25}
        assert [name for name, _ in each.wire.sent] == ["applyWrites"]
        after = {track.rkey: each.remote(track) for track in tracks}
        assert [{**record, "mastertapeGen": 0} for record in after.values()] == [
            {**record, "mastertapeGen": 0} for record in before.values()
        ]
        assert (await planned(each)).steps == ()

    async def test_a_record_that_was_taken_down_is_written_over(self, rig: Rig) -> None:
        track = rig.upload(1)
        await rig.relay_once()
        take_down(rig, track)
        assert await applied(rig) == {Repair.RESTORE: 1}
        assert rig.mirror().state == "delivered"


@pytest.mark.anyio
async def test_earlier_records_of_ours_and_those_of_deleted_tracks_are_put_right(each_desk: Rig) -> None:
    rig = each_desk
    stale, gone = rig.upload(1), rig.upload(2)
    await rig.relay_once()
    earlier, record = rig.remote(stale), rig.remote(gone)
    rig.edit(1, title="new")
    rig.command(2, lambda track: track.delete(at=rig.clock()))
    await rig.relay_once()
    rig.pds.put_record(rig.did, stale.collection, stale.rkey, earlier)
    rig.pds.put_record(rig.did, gone.collection, gone.rkey, record)
    assert await applied(rig) == {Repair.REWRITE: 1, Repair.DELETE: 1}
    assert rig.remote(stale)[rig.TEXT] == "new"
    assert rig.remote(gone) is None


@pytest.mark.anyio
@pytest.mark.pds
@pytest.mark.postgres
async def test_a_plan_that_is_applied_wakes_idle_relays_of_other_processes(
    migrated_postgres: str, pds: DevPds, pds_account: PdsAccount
) -> None:
    async with rig_on(migrated_postgres, pds, pds_account) as rig:
        track = rig.upload(1)
        await rig.relay_once()
        rig.pds.delete_record(rig.did, COLLECTION, track.rkey)
        plan = await planned(rig)
        signals: asyncio.Queue[None] = asyncio.Queue()
        listening = asyncio.create_task(Listener(rig.database).run(lambda *_: signals.put_nowait(None)))
        await asyncio.wait_for(signals.get(), LONG)  # it listens
        await asyncio.to_thread(apply, rig.log, plan, OPERATOR)
        await asyncio.wait_for(signals.get(), LONG)
        listening.cancel()
        await asyncio.wait({listening})


def drift(kind: DriftKind, number: int = 1, did: str = "did:plc:a") -> Drift:
    return Drift(kind, RecordKey(did, COLLECTION, f"rkey{number}"), Subject("track", number), None, None)


def test_every_drift_has_a_repair() -> None:
    assert set(REPAIRS) == set(DriftKind)


def test_a_plan_counts_points_and_deletes_and_says_how_long() -> None:
    plan = plan_for([drift(DriftKind.UNDELETED, 2), drift(DriftKind.MISSING, 1), drift(DriftKind.UNKNOWN, 3)])
    assert [step.repair for step in plan.steps] == [Repair.RESTORE, Repair.DELETE, Repair.NOTHING]
    assert (plan.counts.points, plan.counts.deletes) == (4, 1)
    assert plan.seconds > 0
    assert plan_for([]).seconds == 0


def test_accounts_are_repaired_side_by_side() -> None:
    one = [drift(DriftKind.MISSING, number) for number in range(100)]
    other = [drift(DriftKind.MISSING, number, "did:plc:b") for number in range(100)]
    assert plan_for([*one, *other]).seconds == plan_for(one).seconds


def test_a_record_that_was_not_compared_is_not_said_to_agree() -> None:
    expected = Expected(KEY, Subject("track", 1), PUT, "cid", waits=False, generation=7)
    assert skip_reason(LOST, expected, {KEY: LOST}, frozenset()) is None
    assert skip_reason(LOST, expected, {}, frozenset()) is SkipReason.AGREES
    assert skip_reason(LOST, expected, {}, {KEY}) is SkipReason.NOT_COMPARED


def test_records_that_nothing_is_done_about_leave_room_for_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plans, "MAX_STEPS", 2)
    unknown = [
        Drift(DriftKind.UNKNOWN, replace(KEY, rkey=rkey), None, None, "cid") for rkey in ("a", "b", "c")
    ]
    stored = columns_of(Verified(Repo(KEY.did, ""), 3, (*unknown, LOST)))
    assert (PlanCounts.of(stored["counts"]).steps, stored["left_out"]) == (1, 2)
