"""A list that refers to earlier records for longer than it may is drift, which `apply` mends."""

from collections.abc import AsyncIterator

import pytest
import sqlalchemy as sa

from outbox.lists.items import list_follower
from outbox.lists.references import FOREIGN_REFERENCE_SECONDS, REFERENCE_SECONDS
from outbox.mirror.tables import mirror_target
from outbox.pds.verdict import PUT_POINTS
from replay.reconcile.drift import DriftKind, Repair
from tests.dsl import BOB
from tests.outbox.rigs.list_rigs import FollowerRig
from tests.outbox.rigs.relay_rig import memory_rig_on
from tests.outbox.rigs.replays import OPERATOR, apply, planned

pytestmark = pytest.mark.anyio


@pytest.fixture
async def rig(migrated_url: str) -> AsyncIterator[FollowerRig]:
    async with memory_rig_on(migrated_url, FollowerRig) as made:
        yield made


async def test_lists_that_no_job_has_refreshed_in_time(rig: FollowerRig) -> None:
    made = await rig.with_lists(lists=5)
    track = rig.edit(title="Edited")
    await rig.relay_once()
    rig.clock.advance(seconds=REFERENCE_SECONDS - 60)
    assert not (await planned(rig)).steps
    rig.clock.advance(seconds=61)
    plan = await planned(rig)
    assert [(step.kind, step.repair) for step in plan.steps] == [(DriftKind.BEHIND, Repair.REFRESH)] * 2
    assert plan.counts.points == 2 * PUT_POINTS

    apply(rig.log, plan, OPERATOR)
    waiting = rig.rows(sa.select(mirror_target.c.subject_id).where(mirror_target.c.backfill))
    assert {row.subject_id for row in waiting} == {step.subject.id for step in plan.steps if step.subject}
    await rig.relay_once()
    assert {rig.written(each)[0]["cid"] for each in made} == {rig.cid(track)}
    assert not (await planned(rig)).steps


async def test_a_list_of_which_another_account_does_not_know(rig: FollowerRig) -> None:
    [made] = await rig.with_followers()
    with rig.database.write() as connection:
        connection.execute(sa.delete(list_follower))
    rig.edit(title="Edited")
    await rig.settles()
    rig.clock.advance(seconds=FOREIGN_REFERENCE_SECONDS - 60)
    assert not (await planned(rig)).steps
    rig.clock.advance(seconds=61)
    plan = await planned(rig)
    assert [(step.kind, step.key.did) for step in plan.steps] == [(DriftKind.BEHIND, BOB)]

    apply(rig.log, plan, OPERATOR)
    await rig.settles()
    assert rig.of_bob(made)[0]["cid"] == rig.item().cid
    assert len(rig.followers()) == 1, "from now on it knows"
    assert not (await planned(rig)).steps


async def test_a_list_that_follows_no_other_account_is_no_drift(rig: FollowerRig) -> None:
    await rig.with_followers(follow=False)
    rig.edit(title="Edited")
    await rig.settles()
    rig.clock.advance(seconds=FOREIGN_REFERENCE_SECONDS + 1)
    assert not (await planned(rig)).steps
