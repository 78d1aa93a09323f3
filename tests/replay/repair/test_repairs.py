"""A repair applies exactly the plan that was shown, in whatever process, and once."""

from typing import Any

import pytest
from sqlalchemy import update

from aggregates.errors import InvalidFieldError
from application.errors import RepairChangedError
from application.operators import apply_repair, cancel_repair, start_repair
from eventstore.errors import LeaseLostError
from eventstore.jobs.queue import PROCESS_ENDED
from eventstore.jobs.table import job
from outbox.operations.operators import UnknownTargetError
from replay.errors import RepairNotFoundError
from replay.repair import jobs, worker
from tests.dsl import COLLECTION
from tests.outbox.conftest import desk as rig
from tests.outbox.rigs.foreign_writes import foreign_delete, foreign_put, verified
from tests.outbox.rigs.relay_rig import Rig
from tests.outbox.rigs.replays import delivered, lost
from tests.replay.repair.rig import (
    ADMIN,
    LEASE,
    a_process,
    a_repair_being_applied,
    a_worker,
    claimed,
    decided,
    planned,
    progress,
    row,
)
from tests.servers.databases import ON_BOTH, ON_SQLITE

__all__ = ["rig"]
pytestmark = [pytest.mark.anyio, ON_SQLITE]


@pytest.fixture
def two_in_a_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "STEPS_PER_UNIT", 2)


def restored(rig: Rig, count: int) -> list[int]:
    return [rig.types(number).count("RecordRestored") for number in range(1, count + 1)]


def logged(rig: Rig) -> Any:
    return rig.log.read(after=0, until=10**9, limit=100)


@ON_BOTH
async def test_a_plan_is_shown_and_nothing_is_changed(rig: Rig) -> None:
    tracks = await lost(rig, 3)
    found = row(rig, await planned(rig))
    assert (found.records, found.left_out, len(found.digest)) == (0, 0, 64)
    assert found.counts == [{"repair": "restore", "because": "missing", "records": 3, "points": 9}]
    assert found.seconds > 0
    assert restored(rig, 3) == [0, 0, 0]
    await rig.relay_once()
    assert [rig.remote(track) for track in tracks] == [None] * 3


async def test_a_plan_is_applied_in_the_name_of_the_admin_and_the_relay_sends_it(rig: Rig) -> None:
    tracks = await lost(rig, 3)
    repair_id = await planned(rig)
    decided(rig, repair_id)
    await a_worker(rig).run_once()
    assert progress(rig, repair_id) == ("done", 3, 0)
    while await rig.relay_once():
        pass
    assert None not in [rig.remote(track) for track in tracks]
    restoring = [each for each in logged(rig) if type(each.event).__name__ == "RecordRestored"]
    assert {(each.actor, each.via) for each in restoring} == {("did:plc:admin", "browser")}


async def test_a_repair_that_finds_nothing_tells_how_many_records_it_could_not_judge(rig: Rig) -> None:
    track, _ = await delivered(rig, 2)
    foreign_delete(rig, track)
    rig.edit(1, title="on its way")
    repair_id = start_repair(rig.log, rig.did, ADMIN)
    await a_worker(rig).run_once()
    assert (progress(rig, repair_id), row(rig, repair_id).unjudged) == (("done", 0, 0), 1)


@pytest.mark.usefixtures("two_in_a_unit")
@ON_BOTH
async def test_another_process_continues_after_a_kill_and_nothing_is_applied_twice(rig: Rig) -> None:
    repair_id, killed = await a_repair_being_applied(rig, 5, "killed")
    assert killed.applies_some()
    assert progress(rig, repair_id) == ("applying", 2, 0)
    assert claimed(rig, "other") is None
    rig.clock.advance(seconds=2 * LEASE.total_seconds())
    await a_worker(rig, "other").run_once()
    assert progress(rig, repair_id) == ("done", 5, 0)
    assert restored(rig, 5) == [1] * 5


async def test_a_repair_that_ends_each_process_fails_in_the_end(rig: Rig) -> None:
    await lost(rig, 1)
    repair_id = start_repair(rig.log, rig.did, ADMIN)
    for _ in range(worker.MAX_ATTEMPTS):
        assert claimed(rig, "killed") is not None
        rig.clock.advance(seconds=worker.MAX_PAUSE_SECONDS)
    assert claimed(rig, "other") is None
    found = row(rig, repair_id)
    assert (found.state, found.problem, found.ended_at is not None) == ("failed", PROCESS_ENDED, True)
    start_repair(rig.log, rig.did, ADMIN)
    assert claimed(rig, "other") is not None


async def test_a_repair_that_is_started_as_another_ends_is_not_lost(rig: Rig) -> None:
    await lost(rig, 1)
    decided(rig, await planned(rig))
    applying = await a_process(rig, "one")
    assert not applying.applies_some()
    start_repair(rig.log, rig.did, ADMIN)
    applying.ends()
    assert claimed(rig, "other") is not None


@pytest.mark.usefixtures("two_in_a_unit")
@ON_BOTH
async def test_two_processes_never_apply_at_once(rig: Rig) -> None:
    repair_id, slow = await a_repair_being_applied(rig, 5, "slow")
    assert slow.applies_some()
    rig.clock.advance(seconds=2 * LEASE.total_seconds())
    other = await a_process(rig, "other")
    with pytest.raises(LeaseLostError):
        slow.applies_some()
    assert progress(rig, repair_id) == ("applying", 2, 0)
    while other.applies_some():
        pass
    assert restored(rig, 5) == [1] * 5


async def test_what_has_changed_since_the_plan_is_skipped_and_named(rig: Rig) -> None:
    tracks = await delivered(rig, 5)
    records = [rig.remote(track) for track in tracks]
    for track in tracks:
        foreign_delete(rig, track)
    repair_id = await planned(rig)
    rig.edit(1, title="edited since")
    rig.pds.put_record(rig.did, COLLECTION, tracks[1].rkey, {**(records[1] or {}), "title": "theirs"})
    rig.pds.put_record(rig.did, COLLECTION, tracks[2].rkey, records[2] or {})
    decided(rig, repair_id)
    process = await a_process(rig, "one")
    rig.edit(4, title="edited after the comparison")
    assert not process.applies_some()
    found = row(rig, repair_id)
    assert progress(rig, repair_id) == ("done", 1, 4)
    assert {skip["track_id"]: skip["reason"] for skip in found.skips} == {
        1: "changed_here",
        2: "changed_on_pds",
        3: "agrees",
        4: "changed_here",
    }
    assert f"at://{rig.did}/{COLLECTION}/{tracks[0].rkey}" in [skip["uri"] for skip in found.skips]
    assert restored(rig, 5) == [0, 0, 0, 0, 1]


async def test_a_record_that_was_edited_and_lost_again_is_another_one_than_the_plan_saw(rig: Rig) -> None:
    [track] = await lost(rig, 1)
    repair_id = await planned(rig)
    rig.edit(1, title="edited since")
    await rig.relay_once()
    rig.command(1, lambda track: track.restore_record(at=rig.clock()))
    await rig.relay_once()
    foreign_delete(rig, track)
    decided(rig, repair_id)
    await a_worker(rig).run_once()
    assert progress(rig, repair_id) == ("done", 0, 1)
    assert row(rig, repair_id).skips[0]["reason"] == "changed_here"


async def test_a_difference_that_the_relay_has_noticed_meanwhile_is_repaired_as_planned(rig: Rig) -> None:
    await lost(rig, 2)
    repair_id = await planned(rig)
    await verified(rig, 1, 2)
    assert rig.mirror().state == "detached"
    decided(rig, repair_id)
    await a_worker(rig).run_once()
    assert progress(rig, repair_id) == ("done", 2, 0)


async def test_a_plan_deletes_no_more_than_it_may(rig: Rig) -> None:
    [track] = await delivered(rig, 1)
    record = rig.remote(track) or {}
    rig.command(1, lambda track: track.delete(at=rig.clock()))
    await rig.relay_once()
    rig.pds.put_record(rig.did, COLLECTION, track.rkey, record)
    repair_id = await planned(rig)
    with pytest.raises(InvalidFieldError, match="1 or more"):
        decided(rig, repair_id)
    assert progress(rig, repair_id) == ("planned", 0, 0)
    decided(rig, repair_id, max_deletes=1)
    await a_worker(rig).run_once()
    await rig.relay_once()
    assert (progress(rig, repair_id), rig.remote(track)) == (("done", 1, 0), None)


async def test_only_the_plan_that_was_shown_is_applied(rig: Rig) -> None:
    await lost(rig, 1)
    repair_id = await planned(rig)
    with pytest.raises(RepairChangedError):
        apply_repair(rig.log, repair_id, ADMIN, digest="0" * 64, max_deletes=0)
    decided(rig, repair_id)
    with pytest.raises(RepairChangedError):
        decided(rig, repair_id)
    with pytest.raises(RepairNotFoundError):
        apply_repair(rig.log, 7, ADMIN, digest="", max_deletes=0)


@pytest.mark.usefixtures("two_in_a_unit")
@ON_BOTH
async def test_a_cancelled_repair_applies_nothing_more_and_keeps_what_it_has_applied(rig: Rig) -> None:
    repair_id, process = await a_repair_being_applied(rig, 5, "one")
    assert process.applies_some()
    cancel_repair(rig.log, repair_id, ADMIN)
    with pytest.raises(LeaseLostError):
        process.applies_some()
    await a_worker(rig).run_once()
    assert progress(rig, repair_id) == ("cancelled", 2, 0)
    assert restored(rig, 5) == [1, 1, 0, 0, 0]
    with pytest.raises(RepairChangedError):
        cancel_repair(rig.log, repair_id, ADMIN)
    assert start_repair(rig.log, rig.did, ADMIN) != repair_id


async def test_an_account_has_one_repair_at_a_time_and_every_decision_is_in_its_audit(rig: Rig) -> None:
    await lost(rig, 1)
    repair_id = await planned(rig)
    assert start_repair(rig.log, rig.did, ADMIN) == repair_id
    decided(rig, repair_id)
    cancel_repair(rig.log, repair_id, ADMIN)
    acted = [
        (each.event.action, each.event.affected, each.event.reason)
        for each in logged(rig)
        if type(each.event).__name__ == "OperatorActed"
    ]
    assert acted == [
        (action, 1, "records were lost") for action in ("plan_repair", "apply_repair", "cancel_repair")
    ]
    with pytest.raises(UnknownTargetError):
        start_repair(rig.log, "did:plc:nobody", ADMIN)


async def test_a_repair_waits_for_a_pds_that_does_not_answer(rig: Rig) -> None:
    await lost(rig, 1)
    rig.pds.let_stand(rig.did, "deactivated")  # type: ignore[union-attr]
    repair_id = start_repair(rig.log, rig.did, ADMIN)
    await a_worker(rig).run_once()
    found = row(rig, repair_id)
    assert (found.state, found.attempts) == ("verifying", 1)
    assert "Could not find repo" in found.problem
    rig.pds.let_stand(rig.did, None)  # type: ignore[union-attr]
    rig.clock.advance(minutes=1)
    await a_worker(rig).run_once()
    found = row(rig, repair_id)
    assert (found.state, found.attempts, found.problem) == ("planned", None, None)


async def test_a_foreign_edit_is_read_again_and_left_to_its_owner(rig: Rig) -> None:
    [track] = await delivered(rig, 1)
    foreign_put(rig, track, title="theirs")
    decided(rig, await planned(rig))
    await a_worker(rig).run_once()
    await rig.relay_once()
    assert (rig.mirror().state, (rig.remote(track) or {})["title"]) == ("held", "theirs")


async def test_ended_repairs_are_forgotten_in_time(rig: Rig) -> None:
    await delivered(rig, 1)
    repair_id = start_repair(rig.log, rig.did, ADMIN)
    await a_worker(rig).run_once()
    assert jobs.prune_repairs(rig.database) == 0
    rig.clock.advance(days=91)
    assert jobs.prune_repairs(rig.database) == 1
    with pytest.raises(RepairNotFoundError):
        row(rig, repair_id)


@pytest.mark.usefixtures("two_in_a_unit")
async def test_steps_that_were_applied_begin_the_count_of_attempts_anew(
    rig: Rig,
) -> None:
    await lost(rig, 3)
    repair_id = await planned(rig)
    decided(rig, repair_id)
    rig.execute(update(job).values(attempts=worker.MAX_ATTEMPTS - 1))
    process = await a_process(rig, "one")
    assert process.applies_some()
    process.fails("the PDS is away")
    found = row(rig, repair_id)
    assert (found.state, found.attempts) == ("applying", 1)
