"""What a repair does at its bounds: a full plan, the last attempt, a record that was not compared."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from sqlalchemy import update

from aggregates.published import Subject
from eventstore.jobs import queue
from eventstore.jobs.kinds import Failure
from eventstore.jobs.table import job as job_table
from outbox.mirror.targets import PUT
from outbox.pds.client import RecordKey
from replay.reconcile.drift import Drift, DriftKind, Expected
from replay.reconcile.verify import Repo, Verified
from replay.repair import plan, worker
from replay.repair.jobs import SkipReason
from replay.repair.plan import StoredPlan
from replay.repair.worker import MAX_ATTEMPTS, skip_reason
from tests.outbox.rigs.relay_rig import Rig, memory_rig_on
from tests.replay.repair.rig import ProcessStep, claimed, decided, lost, planned, repairs, row

KEY = RecordKey("did:plc:a", "c", "r")
LOST = Drift(DriftKind.MISSING, KEY, Subject("track", 1), "cid", None, generation=7)


@pytest.fixture
async def rig(migrated_url: str) -> AsyncIterator[Rig]:
    async with memory_rig_on(migrated_url) as made:
        yield made


def test_a_record_that_was_not_compared_is_not_said_to_agree() -> None:
    expected = Expected(KEY, Subject("track", 1), PUT, "cid", waits=False, generation=7)
    assert skip_reason(LOST, expected, {KEY: LOST}, frozenset()) is None
    assert skip_reason(LOST, expected, {}, frozenset()) is SkipReason.AGREES
    assert skip_reason(LOST, expected, {}, {KEY}) is SkipReason.NOT_COMPARED


def test_records_that_nothing_is_done_about_leave_room_for_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plan, "MAX_STEPS", 2)
    unknown = [
        Drift(DriftKind.UNKNOWN, replace(KEY, rkey=rkey), None, None, "cid") for rkey in ("a", "b", "c")
    ]
    stored = StoredPlan.of(Verified(Repo(KEY.did, ""), 3, (*unknown, LOST)))
    assert (stored.does_anything, stored.left_out) == (True, 2)


@pytest.mark.anyio
async def test_steps_that_were_applied_begin_the_count_of_attempts_anew(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "STEPS_PER_UNIT", 2)
    await lost(rig, 3)
    repair_id = await planned(rig)
    decided(rig, repair_id)
    with rig.database.write() as connection:
        connection.execute(update(job_table).values(attempts=MAX_ATTEMPTS - 1))
    job = claimed(rig, "one")
    assert job is not None
    process = ProcessStep(rig, job)
    await process.compares()
    assert process.applies_some()
    queue.fail(rig.database, repairs(rig).kind(), job, Failure("the PDS is away"))
    found = row(rig, repair_id)
    assert (found.state, found.attempts) == ("applying", 1)
