"""Requested adoptions: one at a time of an account, continued by any process, and given up in time."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import delete

from aggregates.tracks.track import Track
from eventstore.jobs.queue import job_of
from eventstore.jobs.table import job
from eventstore.jobs.worker import Worker
from identity.errors import IdentityUnreachableError, UnknownIdentityError
from outbox.pds.client import RemoteUnknownError
from replay.adoption import adopt as adoptions
from replay.adoption.adopt import ADOPTION
from replay.adoption.record import Progress
from tests.dsl import ALICE
from tests.media_samples import samples
from tests.outbox.rigs.relay_rig import ARTIST
from tests.replay.adoption.rig import ELSEWHERE, HOST, AdoptRig, rig
from tests.servers.databases import ON_SQLITE

__all__ = ["rig"]
pytestmark = [pytest.mark.anyio, ON_SQLITE]

LEASE = timedelta(seconds=60)


def a_worker(rig: AdoptRig, error: Exception | None = None) -> Worker:
    async def host_of(_did: str) -> str:
        if error is not None:
            raise error
        return HOST

    kind = replace(rig.adoption, host_of=host_of).kind()
    return Worker(rig.database, [kind], owner="test", lease=LEASE)


def ask(rig: AdoptRig, did: str = ALICE) -> None:
    with rig.database.write() as connection:
        adoptions.request(connection, did, ARTIST, rig.database.now(connection))


def row(rig: AdoptRig) -> Any:
    with rig.database.read() as connection:
        return job_of(connection, ADOPTION, ALICE)


def progress(rig: AdoptRig) -> Progress:
    return Progress(**(row(rig).progress or {}))


async def test_a_request_is_done_by_any_worker_and_counted(rig: AdoptRig) -> None:
    rig.internet.record(1)
    rig.internet.record(2, audioUrl=f"{ELSEWHERE}/dead")
    ask(rig)
    await a_worker(rig).run_once()
    found = progress(rig)
    assert (found.found, found.adopted, found.refused, row(rig).problem) == (2, 1, 1, None)
    assert (found.problems[0]["reason"], row(rig).ended_at is not None) == ("not_fetched", True)
    with rig.database.read() as connection:
        [first, *_] = rig.log.stream(connection, ALICE, Track.create_id(rig.tracks()["Song 1"].track_id))
    assert (first.actor, first.via, first.request_id) == ("artist", "test", "test")


async def test_an_adoption_of_an_account_that_is_leaving_makes_no_track(rig: AdoptRig) -> None:
    ask(rig)
    rig.internet.record(1)

    def leave() -> httpx.Response:
        rig.execute(delete(job))
        return httpx.Response(200, content=samples.mp3(1))

    rig.internet.blob_answers.append(leave)
    assert await a_worker(rig).run_now(ADOPTION, ALICE)
    assert (row(rig), rig.tracks()) == (None, {})


class NoThreads(ThreadPoolExecutor):
    """Threads that no work may use."""

    def submit(self, *_ignored: Any, **_named: Any) -> Any:
        pytest.fail("the adoption used the default threads")


async def test_an_adoption_leaves_the_default_threads_to_token_refreshes(rig: AdoptRig) -> None:
    cover = rig.internet.holds(f"{ELSEWHERE}/cover.png", samples.png())
    rig.internet.record(1, imageUrl=cover)
    ask(rig)
    loop = asyncio.get_running_loop()
    loop.set_default_executor(NoThreads(1))
    try:
        assert await a_worker(rig).run_now(ADOPTION, ALICE)
    finally:
        loop.set_default_executor(ThreadPoolExecutor())
    assert (progress(rig).adopted, progress(rig).problems, row(rig).problem) == (1, [], None)


@pytest.mark.parametrize(
    ("error", "is_over"),
    [(UnknownIdentityError("nobody"), True), (IdentityUnreachableError("away"), False)],
)
async def test_an_unknown_account_is_not_tried_again_and_one_that_is_away_is(
    rig: AdoptRig, error: Exception, is_over: bool
) -> None:
    ask(rig)
    await a_worker(rig, error).run_now(ADOPTION, ALICE)
    assert (row(rig).problem, row(rig).ended_at is not None) == (str(error), is_over)


async def test_a_pds_that_is_away_is_tried_again_later_and_not_for_ever(rig: AdoptRig) -> None:
    rig.internet.away = True
    ask(rig)
    with pytest.raises(RemoteUnknownError):
        await rig.adopts()
    for _ in range(adoptions.MAX_ATTEMPTS):
        assert row(rig).ended_at is None
        await a_worker(rig).run_now(ADOPTION, ALICE)
        assert row(rig).due > rig.clock()
    assert row(rig).ended_at is not None
    ask(rig)
    rig.internet.away = False
    assert await a_worker(rig).run_now(ADOPTION, ALICE)
    assert (row(rig).problem, row(rig).attempts) == (None, 0)
