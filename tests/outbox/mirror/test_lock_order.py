"""Lanes are locked before targets and jobs, by everybody: then no two of them can wait for each other."""

from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import Connection, insert, select, update

from aggregates.published import Subject
from aggregates.tracks.track import Track
from eventstore.coordination.due_parts import parts_of
from eventstore.jobs.table import job
from outbox.blobs.jobs import settle_job
from outbox.conflicts.conflicts import Conflict, keep_ours
from outbox.mirror import targets
from outbox.mirror.lanes import release, resume_lane
from outbox.mirror.observe_only import observed_account
from outbox.mirror.parking import request_probe
from outbox.mirror.requeue import retry, reverify
from outbox.mirror.tables import PAST, blob_job, mirror_lane, mirror_target
from outbox.mirror.targets import wake_lane
from outbox.operations import operators
from outbox.operations.operators import Action, Operator, Selector
from outbox.pds.client import AccountStatus
from outbox.pds.verdict import Kind, Verdict
from outbox.probes.jobs import settle_probe
from outbox.relay.claim import claim
from outbox.relay.delivery_task import DeliveryTask, next_task
from outbox.relay.journal import record_intents
from outbox.relay.result import Outcome, Result
from replay.reconcile.drift import Drift, DriftKind
from replay.reconcile.verify import Repo, Verified
from replay.recovered import resume_account
from replay.repair.plan import plan_for
from tests.dsl import ALICE
from tests.eventstore.threads import DEADLINE, lock_waits
from tests.outbox.rigs.account_status import claim_probes
from tests.outbox.rigs.relay_rig import ARTIST, KINDS, Rig, memory_rig_on
from tests.outbox.rigs.replays import apply
from tests.outbox.rigs.row_locks import row_lock_waits
from tests.outbox.rigs.rows import HOST, LEASE
from tests.outbox.rigs.uploads import claim_uploads
from tests.waits import until

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]


class Scene:
    """A track whose record is to be written and whose audio is to be uploaded, both claimed."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.database, self.log = rig, rig.database, rig.log
        rig.upload()
        rig.command(1, lambda track: track.request_blob_migration(at=rig.clock()))
        [self.lane] = claim(self.database, parts_of(self.database), owner="o", limit=1, lease=LEASE)
        task = next_task(self.log, self.lane, KINDS, rig.clock(), [])
        assert task is not None
        self.task: DeliveryTask = task
        [self.job] = claim_uploads(self.database, "o")
        with self.database.write() as connection:
            request_probe(connection, ALICE, rig.clock())
        [self.probe] = claim_probes(self.database, "o")


def appends(scene: Scene) -> None:
    scene.rig.edit(title="another")


def settles(kind: Kind) -> Callable[[Scene], None]:
    def act(scene: Scene) -> None:
        result = Result(scene.task, Outcome.FAILED, Verdict(kind, error="E"))
        scene.rig.settle(scene.lane, result)

    return act


def settles_job(kind: Kind) -> Callable[[Scene], None]:
    def act(scene: Scene) -> None:
        blob = {"$type": "blob", "ref": {"$link": scene.job.audio_cid}, "mimeType": "a/b", "size": 1}
        verdict = Verdict(kind, error="E", body={"blob": blob})
        scene.log.transact(ALICE, ARTIST, lambda unit: settle_job(unit, scene.job, verdict))

    return act


def in_write(act: Callable[[Connection, Scene], None]) -> Callable[[Scene], None]:
    def acting(scene: Scene) -> None:
        with scene.database.write() as connection:
            act(connection, scene)

    return acting


@pytest.fixture
async def scene(migrated_postgres: str) -> AsyncIterator[Scene]:
    async with memory_rig_on(migrated_postgres) as rig:
        yield Scene(rig)


def probed(scene: Scene) -> None:
    settle_probe(scene.database, *scene.probe, AccountStatus.MOVED, "http://new.test")


def redriven(scene: Scene) -> None:
    operators.perform(scene.log, Action.REDRIVE, Selector(did=ALICE), Operator(ARTIST))


def resolved(scene: Scene) -> None:
    with scene.log.unit_of_work(ALICE, ARTIST) as unit:
        conflict = Conflict(scene.task.kind, scene.task.key, 1, "theirs", theirs=None, base=None)
        keep_ours(unit, unit.load(Track, Track.create_id(1)), conflict)


def applied(kind: DriftKind) -> Callable[[Scene], None]:
    def act(scene: Scene) -> None:
        apply(scene.log, plan_for([drift(scene, kind)]), ARTIST)

    return act


def looked_over(scene: Scene) -> None:
    repo = Repo(ALICE, scene.lane.host)
    assert resume_account(scene.log, Verified(repo, 1, (drift(scene, DriftKind.STALE),)), KINDS, ARTIST)


def drift(scene: Scene, kind: DriftKind) -> Drift:
    return Drift(kind, scene.task.key, Subject("track", 1), None, None)


def as_it_comes(scene: Scene) -> None:
    """What may have happened before: the record was rejected, the lane is due, and its account is observed."""
    with scene.database.write() as connection:
        failed = {"state": "rejected", "failed_gen": mirror_target.c.desired_gen}
        connection.execute(update(mirror_target).values(failed))
        connection.execute(update(mirror_lane).values(backfill_at=PAST, due_at=PAST))
        connection.execute(insert(observed_account).values(did=ALICE))


async def test_an_acknowledgement_waits_for_no_command_of_its_account(scene: Scene) -> None:
    [attempt] = record_intents(scene.database, scene.lane, [scene.task])
    done = Verdict(Kind.DONE, body={"cid": scene.task.request_cid})
    result = Result(scene.task, Outcome.DELIVERED, done, attempt)
    with ThreadPoolExecutor(1) as pool, scene.log.unit_of_work(ALICE, ARTIST):
        pool.submit(scene.rig.settle, scene.lane, result).result(DEADLINE)
    assert scene.rig.mirror().acked_generation == scene.task.gen


async def test_a_settle_that_meets_an_edit_waits_for_the_append_lock_before_it_has_the_lane(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An edit is stopped between its append lock and its lane: whoever had the lane by then would wait in a circle."""
    tries: list[object] = []
    begin = scene.log._unit  # noqa: SLF001 - each attempt at a unit of work

    def counted(*given: Any, **more: Any) -> Any:
        tries.append(given)
        return begin(*given, **more)

    def wait_for_settle(connection: Connection, did: str, at: datetime) -> None:
        settling.append(pool.submit(settles(Kind.AMBIGUOUS), scene))
        until(lambda: lock_waits(scene.database) == 1)
        wake_lane(connection, did, at)

    settling: list[Future[None]] = []
    monkeypatch.setattr(scene.log, "_unit", counted)
    monkeypatch.setattr(targets, "wake_lane", wait_for_settle)
    with ThreadPoolExecutor(1) as pool:
        edited = scene.rig.edit(title="another")
        settling[0].result(DEADLINE)
    assert len(tries) == 2  # the edit and the settle, neither of them again
    with scene.database.read() as connection:
        row = connection.execute(select(mirror_target)).one()
    assert (edited.title, row.failed_gen) == ("another", scene.task.gen)


ACTS: dict[str, Callable[[Scene], object]] = {
    "append": appends,
    "record_intents": lambda scene: record_intents(scene.database, scene.lane, [scene.task]),
    "release": lambda scene: release(scene.database, scene.lane),
    "settle": settles(Kind.AMBIGUOUS),
    "settle-blob-missing": settles(Kind.BLOB_MISSING),
    "settle-parks": settles(Kind.SIGN_IN),
    "blob-done": settles_job(Kind.DONE),
    "blob-rejected": settles_job(Kind.REJECTED),
    "blob-later": settles_job(Kind.AMBIGUOUS),
    "blob-parks": settles_job(Kind.SIGN_IN),
    "sign-in": in_write(lambda connection, scene: resume_lane(connection, ALICE, HOST, scene.rig.clock())),
    "retry": in_write(lambda connection, scene: retry(connection, ALICE, "track", 1, scene.rig.clock())),
}
FROM_OUTSIDE: dict[str, Callable[[Scene], object]] = {
    "settle-probe": probed,
    "suspect": in_write(
        lambda connection, scene: reverify(connection, Track.subjects([1]), scene.rig.clock())
    ),
    "apply-restores": applied(DriftKind.MISSING),
    "apply-doubts": applied(DriftKind.STALE),
    "redrive": redriven,
    "resolve": resolved,
    "look-over": looked_over,
}
"""What comes from outside of the relay's turns."""


@pytest.mark.parametrize("name", [*ACTS, *FROM_OUTSIDE])
async def test_whoever_waits_for_a_lane_holds_no_target_and_no_job(scene: Scene, name: str) -> None:
    if name in FROM_OUTSIDE:
        as_it_comes(scene)
    with ThreadPoolExecutor(1) as pool:
        with scene.database.engine.connect() as holder, holder.begin():
            holder.execute(select(mirror_lane).with_for_update())
            acting = pool.submit((ACTS | FROM_OUTSIDE)[name], scene)
            until(lambda: row_lock_waits(scene.database) == 1)
            for table in (mirror_target, blob_job, job):
                holder.execute(select(table).with_for_update(nowait=True))
        acting.result(DEADLINE)
