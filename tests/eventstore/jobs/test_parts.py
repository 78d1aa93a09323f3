"""A worker whose jobs are in many parts: accounts take turns over all of them, and a job that ends lets others begin."""

import asyncio
from collections.abc import Sequence

import pytest

from eventstore.coordination import due_parts
from eventstore.jobs import queue
from eventstore.jobs.kinds import Job, Outcome
from eventstore.jobs.worker import Worker
from eventstore.sql.database import Database
from eventstore.streams.buckets import bucket_of, divided
from tests.eventstore.jobs.rig import LEASE, SECOND, Rig, at_work, kind
from tests.servers.databases import ON_POSTGRES, ON_SQLITE

pytestmark = [pytest.mark.anyio, ON_POSTGRES]  # its parts are ranges, which are no shards
PARTS = divided(16)
ACCOUNTS = [f"did:plc:{number}" for number in range(12)]
FOR_EVER = 1e9


@pytest.fixture(autouse=True)
def _parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due_parts, "parts_of", lambda _: PARTS)
    monkeypatch.setattr(due_parts, "IDLE_SECONDS", FOR_EVER)


def a_worker(rig: Rig, *kinds: object) -> Worker:
    return Worker(rig.database, kinds, owner="one", lease=LEASE)  # type: ignore[arg-type]


async def test_the_account_that_was_served_the_longest_ago_is_next_over_all_parts(rig: Rig) -> None:
    served: list[str] = []

    async def work(job: Job) -> Outcome:
        served.append(job.account)
        return Outcome.DONE

    for account in ACCOUNTS:
        rig.want(f"first of {account}", f"second of {account}", account=account)
        rig.later(SECOND)
    worker = a_worker(rig, kind(work, max_concurrent=1))
    while len(served) < 2 * len(ACCOUNTS):
        worker.parts.make_due()
        await worker.start_due()
        await worker.drain()
        rig.later(SECOND)
    assert served == 2 * ACCOUNTS


async def test_a_job_that_ends_gives_its_room_to_one_of_another_part(rig: Rig) -> None:
    for account in ACCOUNTS:
        rig.want(account, account=account)
    done, served = asyncio.Event(), set[str]()

    async def work(job: Job) -> Outcome:
        served.add(job.account)
        if len(served) == len(ACCOUNTS):
            done.set()
        return Outcome.DONE

    async with at_work(a_worker(rig, kind(work, max_concurrent=1))):
        await asyncio.wait_for(done.wait(), 30)


async def test_what_a_job_requests_for_an_account_of_another_part_waits_for_no_poll(rig: Rig) -> None:
    first = ACCOUNTS[0]
    second = next(each for each in ACCOUNTS if bucket_of(each) // 256 != bucket_of(first) // 256)
    done = asyncio.Event()

    async def work(job: Job) -> Outcome:
        if job.account == first:
            rig.want("second", account=second)
        else:
            done.set()
        return Outcome.DONE

    rig.want("first", account=first)
    async with at_work(a_worker(rig, kind(work, max_concurrent=3))):
        await asyncio.wait_for(done.wait(), 30)


@ON_SQLITE
async def test_a_wake_of_a_bucket_has_its_part_alone_looked_into(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: asyncio.Queue[Sequence[range]] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def look(
        _database: Database, _kinds: object, parts: Sequence[range], **_how: object
    ) -> dict[str, object]:
        loop.call_soon_threadsafe(looked.put_nowait, parts)
        return {}

    monkeypatch.setattr(queue, "due_kinds", look)
    worker = a_worker(rig, kind())
    async with at_work(worker):
        assert await asyncio.wait_for(looked.get(), 30) == PARTS
        worker.wake(bucket_of(ACCOUNTS[0]))
        [part] = await asyncio.wait_for(looked.get(), 30)
        assert bucket_of(ACCOUNTS[0]) in part
