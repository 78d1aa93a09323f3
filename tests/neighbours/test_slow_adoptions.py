"""Adoptions whose PDS or audio is slow take turns with others, in virtual time: a turn ends, whatever an account does."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from eventstore.coordination.due_parts import parts_of
from eventstore.jobs.queue import job_of
from eventstore.jobs.worker import Worker
from outbox.mirror.lanes import resume_lane
from replay.adoption import adopt, fetcher, intake, record
from replay.adoption.adopt import LISTING_TIMEOUT_SECONDS, TURN_SECONDS
from storage.stores.store import STORE_PATIENCE_SECONDS
from tests.dsl import ALICE, BOB, COLLECTION
from tests.e2e.foreign_catalogue import rkey
from tests.media_samples import samples
from tests.outbox.rigs.relay_rig import ARTIST
from tests.replay.adoption.claims import claimed, fail
from tests.replay.adoption.rig import ELSEWHERE, HOST, AdoptRig, Internet, adopt_rig, adoption_on
from tests.simulation.virtual_time import VirtualLoop

SLOW_HOST = "https://pds.slow.com"
EMPTY_HOST = "https://pds.empty.com"
SLOW = [f"did:plc:slow{number}" for number in range(6)]
LEASE = timedelta(seconds=60)
FAST_SECONDS = 60.0
"""All that an account with a fast PDS needs, waiting for polls included."""


class Slow:
    """What each request to a slow host takes; `page` and `body` say what it sends then."""

    def __init__(self, internet: Internet) -> None:
        self._internet = internet
        self.seconds = 29.0
        self.pages = 0

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.host == "pds.slow.com":
            return await self.list_without_end()
        if request.url.host == "pds.empty.com":
            return httpx.Response(200, json={"records": []})
        if request.url.host == "trickle.com":
            return httpx.Response(200, content=self.trickle())
        if request.url.host == "slow.com":
            await asyncio.sleep(50)
            return httpx.Response(200, content=samples.mp3(int(request.url.path.removeprefix("/"))))
        return self._internet._answer(request)  # noqa: SLF001

    async def list_without_end(self) -> httpx.Response:
        await asyncio.sleep(self.seconds)
        self.pages += 1
        return httpx.Response(200, json={"records": [], "cursor": str(self.pages)})

    async def trickle(self) -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(1)
            yield b"x"


class Rig:
    def __init__(self, made: AdoptRig, loop: VirtualLoop) -> None:
        self.loop, self.database, self.internet = loop, made.database, made.internet
        self.tracks = made.tracks
        self.slow = Slow(made.internet)
        http = httpx.AsyncClient(transport=httpx.MockTransport(self.slow))
        self.adoption = adoption_on(made.log, made.media, http, made.staging)

    def worker(self) -> Worker:
        async def host_of(did: str) -> str:
            return {ALICE: HOST, BOB: EMPTY_HOST}.get(did, SLOW_HOST)

        kind = replace(self.adoption, host_of=host_of).kind()
        return Worker(self.database, [kind], owner="test", lease=LEASE)

    def request(self, *dids: str, host: str | None = None) -> None:
        for did in dids:
            with self.database.write() as connection:
                now = self.database.now(connection)
                if host is not None:
                    resume_lane(connection, did, host, now)
                adopt.request(connection, did, ARTIST, now)

    def row(self, did: str = ALICE) -> Any:
        with self.database.read() as connection:
            return job_of(connection, adopt.ADOPTION, did)

    async def until_ended(self, did: str = ALICE) -> Any:
        """Run until the account's adoption has ended; its row, and how long that took in seconds."""
        began, working = self.loop.time(), asyncio.create_task(self.worker().run())
        while self.row(did).ended_at is None:  # noqa: ASYNC110 - it is a row that is waited for
            await asyncio.sleep(1)
        working.cancel()
        await asyncio.wait({working})
        return self.row(did), self.loop.time() - began


@pytest.fixture
def rig(migrated_url: str, tmp_path: Path, loop: VirtualLoop) -> Iterator[Rig]:
    class Clock:
        ahead = timedelta()

        def __call__(self) -> datetime:
            return datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=loop.time())

    context = adopt_rig(migrated_url, tmp_path, Clock())  # type: ignore[arg-type]
    made = loop.run(context.__aenter__())
    yield Rig(made, loop)
    loop.run(context.__aexit__(None, None, None))


def counts(row: Any) -> tuple[int, int, int, int]:
    found = record.Progress(**(row.progress or {}))
    return found.found, found.known, found.adopted, found.refused


def problems(row: Any) -> list[Any]:
    return list((row.progress or {})["problems"])


def test_accounts_of_a_host_that_lists_without_end_leave_slots_to_other_hosts(rig: Rig) -> None:
    rig.internet.record(1)
    rig.request(*SLOW, host=SLOW_HOST)
    rig.request(ALICE, host=HOST)
    row, seconds = rig.loop.run(rig.until_ended())
    assert (counts(row), row.problem) == ((1, 0, 1, 0), None)
    assert seconds < FAST_SECONDS


def test_accounts_that_list_without_end_give_their_slots_back_in_time(rig: Rig) -> None:
    """Their lanes do not name the host: a host of their own each would be the same."""
    if len(parts_of(rig.database)) > 1:
        pytest.skip("parts take turns: an account of another part need not wait for those that asked before")
    rig.internet.record(1)
    rig.request(*SLOW[: adopt.MAX_CONCURRENT_ADOPTIONS])
    rig.loop.advance(1)
    rig.request(ALICE)
    row, seconds = rig.loop.run(rig.until_ended())
    assert counts(row) == (1, 0, 1, 0)
    assert LISTING_TIMEOUT_SECONDS < seconds < LISTING_TIMEOUT_SECONDS + FAST_SECONDS
    slow = rig.row(SLOW[0])
    assert "did not list its records" in slow.problem
    assert (slow.attempts, slow.lease_owner) == (1, None)


def test_audio_that_trickles_is_given_up_for_its_record_alone(rig: Rig) -> None:
    uri = rig.internet.record(1, audioUrl="https://trickle.com/song.mp3")
    rig.internet.record(2)
    rig.request(ALICE)
    row, seconds = rig.loop.run(rig.until_ended())
    assert counts(row) == (2, 0, 1, 1)
    assert [(each["uri"], each["reason"]) for each in problems(row)] == [(uri, "not_fetched")]
    assert "bytes per second" in problems(row)[0]["message"]
    assert seconds < fetcher.FETCH_PATIENCE_SECONDS * 1.1 + FAST_SECONDS


def test_audio_at_the_slowest_pace_that_is_allowed_is_taken(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetcher, "MIN_BYTES_PER_SECOND", len(samples.mp3(1)) / 200)
    monkeypatch.setattr(Slow, "trickle", at_pace)
    rig.internet.record(1, audioUrl="https://trickle.com/song.mp3")
    rig.request(ALICE)
    row, seconds = rig.loop.run(rig.until_ended())
    assert (counts(row), problems(row)) == ((1, 0, 1, 0), [])
    assert seconds > 200


async def at_pace(_slow: Slow) -> AsyncIterator[bytes]:
    data = samples.mp3(1)
    for begin in range(0, len(data), len(data) // 10):
        await asyncio.sleep(20)
        yield data[begin : begin + len(data) // 10]


def test_bytes_that_take_too_long_together_are_given_up(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "RECORD_TIMEOUT_SECONDS", 30.0)
    rig.internet.record(1, audioUrl="https://trickle.com/song.mp3")
    rig.request(ALICE)
    row, _ = rig.loop.run(rig.until_ended())
    assert [each["reason"] for each in problems(row)] == ["too_slow"]


def test_a_large_catalogue_is_adopted_in_turns_and_others_come_between(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of its records takes 50 seconds, and four are adopted at once."""
    monkeypatch.setattr(adopt, "MAX_CONCURRENT_ADOPTIONS", 1)
    dead = [rig.internet.record(number, audioUrl=f"{ELSEWHERE}/dead{number}") for number in range(1, 4)]
    for number in range(4, 44):
        rig.internet.record(number, audioUrl=f"https://slow.com/{number}")
    rig.request(ALICE)
    rig.loop.advance(1)
    rig.request(BOB)
    rig.loop.advance(1)
    row, _ = rig.loop.run(rig.until_ended())
    assert counts(row) == (43, 0, 40, 3)
    assert sorted(each["uri"] for each in problems(row)) == dead
    assert [sum(f"dead{number}" in url for url in rig.internet.asked) for number in range(1, 4)] == [1] * 3
    assert (row.lease_epoch, row.attempts) == (2, 0)
    assert TURN_SECONDS <= (rig.row(BOB).ended_at - row.requested_at).total_seconds() < TURN_SECONDS + 200
    assert rig.row(BOB).ended_at < row.ended_at


def test_what_was_refused_before_a_failure_is_tried_again(rig: Rig) -> None:
    rig.internet.record(1, audioUrl=f"{ELSEWHERE}/song.mp3")
    rig.request(ALICE)
    job = claimed(rig.database)
    uri = f"at://{ALICE}/{COLLECTION}/{rkey(1)}"
    refused = record.Progress(found=1, refused=1, problems=[{"uri": uri, "error": "x", "adopted": False}])
    fail(rig.database, job, refused, "the PDS is away")
    rig.internet.holds(f"{ELSEWHERE}/song.mp3", samples.mp3(1))
    row, _ = rig.loop.run(rig.until_ended())
    assert (counts(row), problems(row), row.problem) == ((1, 0, 1, 0), [], None)


def test_more_refusals_than_are_remembered_end_in_a_failure(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "MAX_NAMED_PROBLEMS", 2)
    monkeypatch.setattr(adopt, "MAX_NAMED_PROBLEMS", 2)
    monkeypatch.setattr(adopt, "MAX_ATTEMPTS", 2)
    for number in range(1, 26):
        rig.internet.record(number, audioUrl="https://trickle.com/song.mp3")
    rig.request(ALICE)
    row, _ = rig.loop.run(rig.until_ended())
    assert "2 records have problems" in row.problem
    assert rig.tracks() == {}


def test_a_store_that_hangs_fails_an_adoption_and_leaves_its_lease_to_be_ended(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other adoptions, and every lease, have threads of their own."""
    real, *_ = rig.adoption.adopters

    class Hanging:
        """Threads that never return."""

        async def run(self, *_ignored: object) -> None:
            await asyncio.Event().wait()

    rig.adoption = replace(rig.adoption, adopters=[replace(real, store_threads=Hanging())])
    rig.internet.record(1)
    rig.request(ALICE)
    monkeypatch.setattr(adopt, "MAX_ATTEMPTS", 1)
    row, seconds = rig.loop.run(rig.until_ended())
    assert "did not answer in time" in row.problem
    assert (counts(row)[3], row.lease_owner) == (0, None)
    assert seconds < STORE_PATIENCE_SECONDS + FAST_SECONDS
