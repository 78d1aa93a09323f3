"""Adoptions that were asked for: one at a time of an account, gone on with by whoever comes, and given up in time."""

import asyncio
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import delete

from aggregates.track import Track
from identity.errors import IdentityUnreachableError, UnknownIdentityError
from outbox.pds.client import RemoteUnknownError
from replay.adoption import jobs as adoptions
from replay.adoption.worker import AdoptionWorker
from tests.dsl import ALICE
from tests.media_samples import samples
from tests.outbox.rigs.relay_rig import ARTIST
from tests.replay.adopt_rig import ELSEWHERE, HOST, AdoptRig, Clock, adopt_rig

pytestmark = pytest.mark.anyio

LEASE = timedelta(seconds=60)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def rig(migrated_url: str, tmp_path: Path, clock: Clock) -> AsyncIterator[AdoptRig]:
    """A service, a PDS in memory and an internet."""
    async with adopt_rig(migrated_url, tmp_path, clock) as made:
        yield made


@pytest.fixture
def worker(rig: AdoptRig) -> AdoptionWorker:
    return a_worker(rig)


def a_worker(rig: AdoptRig, error: Exception | None = None) -> AdoptionWorker:
    async def host_of(_did: str) -> str:
        if error is not None:
            raise error
        return HOST

    return AdoptionWorker(rig.database, rig.adoption, host_of, owner="test", lease=LEASE)


def ask(rig: AdoptRig, did: str = ALICE) -> None:
    with rig.database.write() as connection:
        adoptions.request(connection, did, ARTIST, rig.database.now(connection))


def row(rig: AdoptRig) -> Any:
    with rig.database.read() as connection:
        return adoptions.adoption_of(connection, ALICE)


async def until(rig: AdoptRig, happens: Any) -> None:
    async with asyncio.timeout(30):
        while not happens(row(rig)):  # noqa: ASYNC110 - it is a row that is waited for
            await asyncio.sleep(0.01)


async def test_a_request_is_done_in_the_background_and_counted(rig: AdoptRig, worker: AdoptionWorker) -> None:
    rig.internet.record(1)
    rig.internet.record(2, audioUrl=f"{ELSEWHERE}/dead")
    working = asyncio.create_task(worker.run())
    ask(rig)
    worker.wake()
    await until(rig, lambda it: it.ended_at is not None)
    assert (row(rig).found, row(rig).adopted, row(rig).refused, row(rig).problem) == (2, 1, 1, None)
    assert row(rig).problems[0]["reason"] == "not_fetched"
    working.cancel()
    await asyncio.wait({working})
    with rig.database.read() as connection:
        [first, *_] = rig.log.stream(connection, Track.create_id(rig.tracks()["Song 1"].track_id))
    assert (first.actor, first.via, first.request_id) == ("artist", "test", "test")


async def test_an_account_has_one_at_a_time(rig: AdoptRig) -> None:
    ask(rig)
    claimed = adoptions.claim(rig.database, owner="one", lease=LEASE)
    assert claimed is not None
    asked_at = row(rig).requested_at
    ask(rig)
    assert row(rig).requested_at == asked_at
    assert adoptions.claim(rig.database, owner="two", lease=LEASE, did=ALICE) is None
    assert not await a_worker(rig).run_one(ALICE, lambda _progress: None)


async def test_one_whose_process_died_is_gone_on_with_and_the_dead_one_writes_nothing(
    rig: AdoptRig, clock: Clock
) -> None:
    ask(rig)
    dead = adoptions.claim(rig.database, owner="dead", lease=LEASE)
    assert dead is not None
    clock.ahead += LEASE * 2
    other = adoptions.claim(rig.database, owner="other", lease=LEASE)
    assert other is not None
    assert not adoptions.note(rig.database, dead, adoptions.Progress(found=9), LEASE)
    adoptions.end(rig.database, dead, adoptions.Progress(found=9))
    assert (row(rig).found, row(rig).ended_at) == (0, None)
    adoptions.give_back(rig.database, other)
    rig.internet.record(1)
    assert await a_worker(rig).run_one(ALICE, lambda _progress: None)
    ended = row(rig)
    assert (ended.adopted, ended.ended_at is not None) == (1, True)
    assert not adoptions.note(rig.database, other, adoptions.Progress(found=9), LEASE)
    assert row(rig) == ended


async def test_one_that_nobody_wants_any_more_makes_no_track(rig: AdoptRig) -> None:
    ask(rig)
    rig.internet.record(1)

    def leave() -> httpx.Response:
        with rig.database.write() as connection:
            connection.execute(delete(adoptions.adoption))
        return httpx.Response(200, content=samples.mp3(1))

    rig.internet.blob_answers.append(leave)
    assert await a_worker(rig).run_one(ALICE, lambda _progress: None)
    assert (row(rig), rig.tracks()) == (None, {})


async def test_one_that_is_stopped_is_given_back_at_once(rig: AdoptRig, worker: AdoptionWorker) -> None:
    hangs = asyncio.Event()
    rig.internet.record(1)

    async def hang(*_ignored: Any) -> None:
        hangs.set()
        await asyncio.sleep(3600)

    rig.adoption.run = hang  # type: ignore[method-assign, assignment]
    working = asyncio.create_task(worker.run())
    ask(rig)
    worker.wake()
    async with asyncio.timeout(30):
        await hangs.wait()
    working.cancel()
    await asyncio.wait({working})
    assert (row(rig).lease_owner, row(rig).ended_at) == (None, None)
    assert adoptions.claim(rig.database, owner="other", lease=LEASE) is not None


async def test_one_that_is_being_taken_when_its_process_stops_is_given_back_too(
    rig: AdoptRig, worker: AdoptionWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, go_on, claim = threading.Event(), threading.Event(), adoptions.claim

    def slow(*args: Any, **kwargs: Any) -> adoptions.AdoptionJob | None:
        claimed = claim(*args, **kwargs)
        taken.set()
        go_on.wait(30)
        return claimed

    monkeypatch.setattr(adoptions, "claim", slow)
    ask(rig)
    working = asyncio.create_task(worker.run())
    await asyncio.to_thread(taken.wait, 30)
    working.cancel()
    await asyncio.sleep(0)
    assert row(rig).lease_owner == "test"
    go_on.set()
    await asyncio.wait({working})
    assert (row(rig).lease_owner, row(rig).ended_at) == (None, None)


@pytest.mark.parametrize(
    ("error", "is_over"),
    [(UnknownIdentityError("nobody"), True), (IdentityUnreachableError("away"), False)],
)
async def test_an_account_that_nobody_knows_is_not_asked_for_again_and_one_that_is_away_is(
    rig: AdoptRig, error: Exception, is_over: bool
) -> None:
    ask(rig)
    await a_worker(rig, error).run_one(ALICE, lambda _progress: None)
    assert (row(rig).problem, row(rig).ended_at is not None) == (str(error), is_over)


async def test_a_pds_that_is_away_is_tried_again_later_and_not_for_ever(rig: AdoptRig, clock: Clock) -> None:
    rig.internet.away = True
    ask(rig)
    with pytest.raises(RemoteUnknownError):
        await rig.adopts()
    for _ in range(adoptions.TRIES):
        assert row(rig).ended_at is None
        await a_worker(rig).run_one(ALICE, lambda _progress: None)
        assert row(rig).not_before > clock()
    assert row(rig).ended_at is not None
    ask(rig)
    rig.internet.away = False
    assert await a_worker(rig).run_one(ALICE, lambda _progress: None)
    assert (row(rig).problem, row(rig).attempts) == (None, 0)
