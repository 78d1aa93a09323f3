"""Lanes are locked before targets and jobs, by everybody: then no two of them can wait for each other."""

from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, select, text

from eventstore.database import Database
from outbox.blob_claim import claim_jobs
from outbox.blob_jobs import settle_job
from outbox.claim import claim
from outbox.delivery import Outcome, Result
from outbox.journal import intend
from outbox.lanes import release, resume_lane
from outbox.settle import settle
from outbox.tables import blob_job, mirror_lane, mirror_target
from outbox.verdict import Kind, Verdict
from outbox.wishes import retry
from outbox.work import Work, next_work
from tests.dsl import ALICE
from tests.eventstore.threads import DEADLINE, until
from tests.outbox.rig import ARTIST, URLS, Rig, memory_rig_on
from tests.outbox.rows import HOST, LEASE

pytestmark = [pytest.mark.anyio, pytest.mark.postgres]


class Scene:
    """A track whose record is to be written and whose audio is to be uploaded, both claimed."""

    def __init__(self, rig: Rig) -> None:
        self.rig, self.database, self.log = rig, rig.database, rig.log
        rig.upload()
        rig.tell(1, lambda track: track.request_blob_migration(at=rig.clock()))
        [self.lane] = claim(self.database, owner="o", limit=1, lease=LEASE)
        work = next_work(self.log, self.lane, URLS, rig.clock(), [])
        assert work is not None
        self.work: Work = work
        [self.job] = claim_jobs(self.database, owner="o", limit=1)


def appends(scene: Scene) -> None:
    scene.rig.edit(title="another")


def settles(kind: Kind) -> Callable[[Scene], None]:
    def act(scene: Scene) -> None:
        result = Result(scene.work, Outcome.FAILED, Verdict(kind, error="E"))
        settle(scene.log, scene.lane, result)

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


@pytest.mark.parametrize(
    "act",
    [
        appends,
        lambda scene: intend(scene.database, scene.lane, scene.work),
        lambda scene: release(scene.database, scene.lane),
        settles(Kind.AMBIGUOUS),
        settles(Kind.BLOB_MISSING),
        settles(Kind.SIGN_IN),
        settles_job(Kind.DONE),
        settles_job(Kind.REJECTED),
        settles_job(Kind.AMBIGUOUS),
        settles_job(Kind.SIGN_IN),
        in_write(lambda connection, scene: resume_lane(connection, ALICE, HOST, scene.rig.clock())),
        in_write(lambda connection, scene: retry(connection, ALICE, 1, scene.rig.clock())),
    ],
    ids=[
        "append",
        "intend",
        "release",
        "settle",
        "settle-blob-missing",
        "settle-parks",
        "blob-done",
        "blob-rejected",
        "blob-later",
        "blob-parks",
        "sign-in",
        "retry",
    ],
)
async def test_whoever_waits_for_a_lane_holds_no_target_and_no_job(
    scene: Scene, act: Callable[[Scene], None]
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with scene.database.engine.connect() as holder, holder.begin():
            holder.execute(select(mirror_lane).with_for_update())
            acting = pool.submit(act, scene)
            until(lambda: row_lock_waits(scene.database) == 1)
            for table in (mirror_target, blob_job):
                holder.execute(select(table).with_for_update(nowait=True))
        acting.result(DEADLINE)


def row_lock_waits(database: Database) -> int:
    """How many transactions wait for another one to end, seen from outside of all of them."""
    waiting = """
        select count(*) from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock' and wait_event = 'transactionid'
    """
    with database.engine.connect() as connection:
        count: int = connection.execute(text(waiting)).scalar_one()
        return count
