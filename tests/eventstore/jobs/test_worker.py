"""A worker runs the handlers of due jobs, keeps their leases, and leaves them to others when it stops."""

import asyncio
import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import Select, exists, literal, select, update

from eventstore.coordination import due_parts
from eventstore.errors import NewerReleaseError
from eventstore.jobs import queue
from eventstore.jobs.kinds import Job, Kind, Outcome
from eventstore.jobs.table import JobState, job, job_turn
from eventstore.jobs.worker import Worker
from eventstore.streams.buckets import Part, in_part
from tests.eventstore.jobs.rig import KIND, LEASE, Rig, Time, at_work, kind
from tests.servers.databases import ON_BOTH, ON_SQLITE
from tests.waits import until_async

pytestmark = [pytest.mark.anyio, ON_SQLITE]


def a_worker(rig: Rig, *kinds: Kind, owner: str = "one", lease: timedelta = LEASE) -> Worker:
    return Worker(rig.database, kinds, owner=owner, lease=lease, has_ended=lambda owner: owner == "killed")


class Hanging:
    """A handler that does not return before `go_on`."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.go_on = asyncio.Event()

    async def __call__(self, job: Job) -> Outcome:
        self.begun.append(job.subject)
        await self.go_on.wait()
        return Outcome.DONE


async def test_what_is_due_is_done_within_the_limit_of_the_process(rig: Rig) -> None:
    rig.want("1", "2", "3")
    work = Hanging()
    doing = asyncio.create_task(a_worker(rig, kind(work, max_concurrent=2)).run_once())
    await until_async(lambda: len(work.begun) == 2)
    assert rig.row("3").lease_owner is None
    work.go_on.set()
    await doing
    assert (sorted(work.begun), rig.row("3")) == (["1", "2", "3"], None)


@ON_BOTH
async def test_a_process_sends_no_more_to_a_host_than_it_may(rig: Rig) -> None:
    rig.want("1", "2", "3", host="slow")
    rig.want("4", host="fast")
    rig.want("5", "6", "7")
    work = Hanging()
    two_a_host = kind(work, max_per_host=2)
    doing = asyncio.create_task(a_worker(rig, two_a_host).run_once())
    await until_async(lambda: len(work.begun) == 6)
    assert rig.claimed(two_a_host, "another process").subject == "3"
    work.go_on.set()
    await doing
    assert "3" not in work.begun


@ON_BOTH
async def test_what_only_a_newer_release_knows_is_left_to_its_workers_and_nothing_more_is_begun(
    rig: Rig,
) -> None:
    async def older(_job: Job) -> Outcome:
        raise NewerReleaseError("events of the topic track.dreamed.v1")

    rig.want("1", "2", "3")
    worker = a_worker(rig, kind(older, max_concurrent=1, max_attempts=1))
    for _ in range(3):
        await worker.run_once()
    rows = [rig.row(each) for each in "123"]
    assert {(row.state, row.attempts, row.problem, row.lease_owner) for row in rows} == {
        (JobState.WAITING, 0, None, None)
    }
    work = Hanging()
    work.go_on.set()
    await a_worker(rig, kind(work), owner="newer").run_once()
    assert sorted(work.begun) == ["1", "2", "3"]


def turns_without_a_job(part: Part) -> Select[Any]:
    turn = job_turn.c
    found = select(turn.account.label("subject"), turn.account, literal("").label("host"))
    return found.where(in_part(turn.bucket, part), ~exists().where(job.c.account == turn.account))


@ON_BOTH
@pytest.mark.parametrize("is_requested", [True, False])
async def test_what_no_wake_told_of_is_found_within_fifteen_seconds(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, is_requested: bool
) -> None:
    now = [1000.0]
    monkeypatch.setattr(due_parts, "_now", lambda: now[0])
    worker = a_worker(rig, kind(find=turns_without_a_job))
    await worker.run_once()
    rig.want("a")
    if not is_requested:
        with rig.database.write() as connection:
            queue.cancel(connection, KIND, "a", "alice")
    while not worker.busy:
        now[0] += worker.parts.seconds()
        await worker.start_due()
    await worker.drain()
    assert now[0] <= 1015


async def test_a_retry_that_comes_due_waits_for_no_poll(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due_parts, "IDLE_SECONDS", 3600.0)
    monkeypatch.setattr(Time, "__call__", lambda _: datetime.now(UTC))
    attempts: list[int] = []

    async def fail_once(job: Job) -> Outcome:
        attempts.append(job.attempts)
        if len(attempts) == 1:
            raise ValueError("busy")
        return Outcome.DONE

    rig.want("a")
    async with at_work(a_worker(rig, kind(fail_once, first_pause_seconds=0.1))):
        await until_async(lambda: rig.row("a") is None)
    assert attempts == [1, 2]


async def test_a_worker_that_stops_lets_a_job_end_that_is_expensive_to_begin_again(rig: Rig) -> None:
    rig.want("a")
    work = Hanging()
    working = asyncio.create_task(a_worker(rig, kind(work, drains=True)).run())
    await until_async(lambda: work.begun)
    working.cancel()
    await asyncio.sleep(0)  # the worker learns of it
    work.go_on.set()
    await asyncio.wait({working})
    assert rig.row("a") is None


async def test_a_worker_that_stops_gives_its_jobs_back_at_once(rig: Rig) -> None:
    rig.want("a")
    work = Hanging()
    async with at_work(a_worker(rig, kind(work))):
        await until_async(lambda: work.begun)
    again = rig.claimed(kind(), "other")
    assert (again.subject, again.attempts) == ("a", 1)


async def test_a_job_that_is_being_claimed_as_the_worker_stops_is_given_back_too(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, go_on, claim = threading.Event(), threading.Event(), queue.claim

    def slow(*args: Any, **kwargs: Any) -> Job | None:
        claimed = claim(*args, **kwargs)
        taken.set()
        go_on.wait(30)
        return claimed

    monkeypatch.setattr(queue, "claim", slow)
    rig.want("a")
    working = asyncio.create_task(a_worker(rig, kind()).run())
    await asyncio.to_thread(taken.wait, 30)
    working.cancel()
    await asyncio.sleep(0)
    assert rig.row("a").lease_owner == "one"
    go_on.set()
    await asyncio.wait({working})
    assert (rig.row("a").lease_owner, rig.row("a").attempts) == (None, 0)


@ON_BOTH
async def test_a_job_of_a_process_that_has_ended_is_not_waited_for(rig: Rig) -> None:
    rig.want("a", "b")
    for owner in ("alive", "killed"):
        rig.claimed(kind(), owner)
    rig.later(timedelta(seconds=20))  # after the pause, within the lease
    work = Hanging()
    work.go_on.set()
    await a_worker(rig, kind(work)).run_once()
    assert (work.begun, rig.row("a").lease_owner) == (["b"], "alive")


async def test_a_job_that_takes_longer_than_its_lease_is_extended_with_its_progress(rig: Rig) -> None:
    rig.want("a")
    short = timedelta(seconds=0.3)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def work(job: Job) -> Outcome:
        begun.set()
        await go_on.wait()
        job.progress = {"found": 3}
        await until_async(lambda: rig.row("a").progress == {"found": 3})
        return Outcome.DONE

    doing = asyncio.create_task(a_worker(rig, kind(work), lease=short).run_once())
    await begun.wait()
    for _ in range(5):
        before = rig.time.now
        rig.later(short / 2)
        await until_async(lambda before=before: rig.row("a").lease_until > before + short)
        assert rig.claim(kind(), "other") is None
    go_on.set()
    await doing
    assert rig.row("a") is None


async def test_a_handler_ends_once_its_job_is_cancelled(rig: Rig) -> None:
    rig.want("a", account="a")
    work = Hanging()
    doing = asyncio.create_task(a_worker(rig, kind(work), lease=timedelta(seconds=0.3)).run_once())
    await until_async(lambda: work.begun)
    with rig.database.write() as connection:
        queue.cancel(connection, kind().name, "a")
    await doing


@pytest.mark.parametrize(
    ("error", "state", "problem"),
    [
        (ValueError("final"), JobState.FAILED, "final"),
        (ValueError(), JobState.WAITING, "internal error: ValueError; see the log `job_failed`"),
    ],
    ids=["expected", "unexpected"],
)
async def test_an_error_is_judged_by_its_kind_and_shown(
    rig: Rig, error: Exception, state: JobState, problem: str
) -> None:
    async def work(_job: Job) -> Outcome:
        raise error

    rig.want("a")
    await a_worker(rig, kind(work)).run_once()
    assert (rig.row("a").state, rig.row("a").problem) == (state, problem)


@ON_BOTH
async def test_one_job_is_run_now_with_all_of_its_turns_although_it_is_not_due(rig: Rig) -> None:
    turns = []

    async def work(job: Job) -> Outcome:
        turns.append(job.attempts)
        return Outcome.DONE if len(turns) == 3 else Outcome.AGAIN

    for each in ("a", "b"):
        rig.want(each, account=each)
    of = kind(work)
    queue.release(rig.database, rig.claimed(of))
    with rig.database.write() as connection:
        connection.execute(update(job).values(due=datetime(2030, 1, 1, tzinfo=UTC)))
    found = a_worker(rig, of)
    assert await found.run_now(of.name, "a")
    assert (turns, rig.row("a"), rig.row("b").attempts) == ([1, 1, 1], None, 0)
    assert not await found.run_now(of.name, "a")


@ON_BOTH
async def test_a_kind_requests_what_it_finds_before_each_look(rig: Rig) -> None:
    work = Hanging()
    work.go_on.set()
    found = (
        sa.literal("found").label("subject"),
        sa.literal("").label("account"),
        sa.literal("").label("host"),
    )
    unknown = ~sa.exists().where(job.c.subject == "found")
    of = replace(kind(work, keeps_done=True), find=lambda _: sa.select(*found).where(unknown))
    await a_worker(rig, of).run_once()
    assert work.begun == ["found"]
