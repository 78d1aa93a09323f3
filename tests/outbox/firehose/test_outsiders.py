"""What people without an account here say of tracks counts once their PDS has shown it, and is gone with it."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise

import httpx
import pytest
from sqlalchemy import insert, select

from eventstore.coordination.backoff import backoff
from outbox.firehose import outsiders
from outbox.firehose.outsiders import Index
from outbox.mirror.tables import firehose_cursor
from outbox.pds.client import Pds, RecordKey
from tests.fake_pds.signed_in_pds import SignedInPds
from tests.outbox.rigs.directory import FakeDirectory
from tests.outbox.rigs.following import LIKES, Told, follower, index_of
from tests.outbox.rigs.stream_host import CID, StreamHost, commit, error, frame
from tests.servers.databases import ON_SQLITE
from tests.waits import until_async

pytestmark = [pytest.mark.anyio, ON_SQLITE]

CAROL, DAVE, OURS = "did:plc:carol", "did:plc:dave", "did:plc:1"


class ShownPds(SignedInPds):
    """Knows when each record was asked for; its answers are late, or the first another, when a test says so."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.asked: list[tuple[str, float]] = []
        self.answers = asyncio.Event()
        self.answers.set()
        self.first: httpx.Response | Exception | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append((f"{request.url.params['repo']}/{request.url.params['rkey']}", time.monotonic()))
        await self.answers.wait()
        if (first := self.first) is not None:
            self.first = None
            if isinstance(first, Exception):
                raise first
            return first
        return await super().handle_async_request(request)

    @property
    def keys(self) -> list[str]:
        return [key for key, _ in self.asked]


@dataclass
class Stage:
    """A host with a firehose and records, and what a follower's index was told of them."""

    host: StreamHost
    pds: ShownPds
    directory: FakeDirectory
    index: Index
    kept: Told

    async def says(self, seq: int, did: str, *writes: tuple[str, str | None]) -> None:
        named = [(f"{LIKES}/{rkey}", cid) for rkey, cid in writes]
        await self.host.says(commit(seq, did, f"3k{seq}", *named))

    async def likes(self, seq: int, did: str = CAROL, rkey: str = "1") -> None:
        self.pds.put_record(did, LIKES, rkey, {"n": seq})
        await self.says(seq, did, (rkey, CID))

    def told(self) -> list[tuple[str, bool]]:
        """Each record, or account, with whether it is there."""
        return [
            (uri.removeprefix("at://").replace(f"{LIKES}/", ""), bool(cid)) for uri, cid in self.kept.told
        ]


@pytest.fixture(name="stage")
async def _stage(host: StreamHost, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[Stage]:
    monkeypatch.setattr(outsiders, "PAUSE_SECONDS", 0.01)
    pds, directory, told = ShownPds(host.url), FakeDirectory(host.url), Told()
    async with httpx.AsyncClient(transport=pds) as http:
        reads = Pds(None, http)  # type: ignore[arg-type] # it writes nothing
        yield Stage(host, pds, directory, index_of(told, reads, directory), told)


def cursor_in(database):
    with database.read() as connection:
        return connection.scalar(select(firehose_cursor.c.seq))


@asynccontextmanager
async def heard_by(database, stage, owner="one"):
    async with follower(database, owner, stage.index) as started:
        await until_async(lambda: stage.host.sockets)
        yield started


async def test_a_stream_that_claims_a_record_which_its_pds_has_not_makes_nothing_count(database, stage):
    async with heard_by(database, stage):
        await stage.says(7, CAROL, ("1", CID))
        await until_async(stage.told)
    assert stage.told() == [(f"{CAROL}/1", False)]


async def test_a_stream_that_claims_records_of_another_host_s_account_has_no_host_asked(database, stage):
    stage.directory.moved = {DAVE: "https://pds.of.dave", CAROL: None}
    async with heard_by(database, stage):
        await stage.says(7, DAVE, ("1", CID))
        await stage.says(8, CAROL, ("1", CID))
        await until_async(lambda: len(stage.told()) == 2)
    assert stage.kept.told == [(DAVE, "https://pds.of.dave"), (CAROL, None)]
    assert stage.pds.keys == []


async def test_what_an_account_here_writes_is_not_read_and_what_it_said_before_is_forgotten(database, stage):
    async with heard_by(database, stage):
        await stage.likes(7, OURS)
        await stage.likes(8)
        await until_async(lambda: len(stage.told()) == 2)
    assert (stage.told(), stage.pds.keys) == ([(f"{OURS}/1", False), (f"{CAROL}/1", True)], [f"{CAROL}/1"])


async def test_what_is_gone_is_removed_at_once_whoever_deleted_it(database, stage):
    async with heard_by(database, stage):
        for seq, did in enumerate((CAROL, OURS), 7):
            await stage.says(seq, did, ("1", None))
        await stage.likes(9)
        await until_async(lambda: len(stage.told()) == 3)
    assert stage.told() == [(f"{CAROL}/1", False), (f"{OURS}/1", False), (f"{CAROL}/1", True)]


async def test_all_of_an_account_that_is_gone_from_its_host_is_read_again(database, stage):
    async with heard_by(database, stage):
        await stage.host.says(frame("#account", seq=7, did=DAVE, active=False, status="deleted"))
        await stage.host.says(frame("#account", seq=8, did=CAROL, active=True))
        await stage.likes(9)
        await until_async(stage.told)
    assert (stage.kept.reverified, stage.told()) == ([DAVE], [(f"{CAROL}/1", True)])


async def test_what_was_read_longest_ago_is_read_again_while_nothing_waits(database, stage):
    stage.pds.put_record(CAROL, LIKES, "kept", {})
    stage.kept.due = [RecordKey(CAROL, LIKES, rkey) for rkey in ("kept", "gone")]
    stage.pds.answers.clear()
    async with heard_by(database, stage) as started:
        await until_async(lambda: stage.pds.asked)
        await stage.likes(7, DAVE)
        await until_async(lambda: started.heard)
        stage.pds.answers.set()
        await until_async(lambda: len(stage.told()) == 3)
    assert stage.told() == [(f"{CAROL}/kept", True), (f"{DAVE}/1", True), (f"{CAROL}/gone", False)]


async def test_the_cursor_does_not_wait_for_what_is_read_again(database, stage):
    stage.kept.due = [RecordKey(CAROL, LIKES, "1")]
    stage.pds.answers.clear()
    async with heard_by(database, stage):
        await until_async(lambda: stage.pds.asked)
        await stage.host.says(frame("#identity", seq=6, did=DAVE))
        await until_async(lambda: cursor_in(database) == 6)


async def test_a_record_to_be_read_again_is_found_without_a_message(database, stage, monkeypatch):
    monkeypatch.setattr(outsiders, "POLL_SECONDS", 0.01)
    async with heard_by(database, stage):
        await stage.likes(7)
        await until_async(stage.told)
        stage.kept.due.append(RecordKey(CAROL, LIKES, "1"))
        await until_async(lambda: len(stage.told()) == 2)
    assert stage.told() == [(f"{CAROL}/1", True)] * 2


@pytest.mark.parametrize("how", ["OutdatedCursor", "FutureCursor"])
async def test_after_a_gap_all_of_the_host_is_read_again(database, stage, how):
    with database.write() as connection:
        connection.execute(insert(firehose_cursor).values(host=stage.host.url, seq=1_000_000))
    stage.host.greets = [error(how) if how == "FutureCursor" else frame("#info", name=how)]
    async with follower(database, "one", stage.index):
        await until_async(lambda: stage.kept.reverified)
    assert stage.kept.reverified[0] is None


async def test_records_of_a_host_are_read_one_after_the_other_with_a_pause(database, stage, monkeypatch):
    monkeypatch.setattr(outsiders, "PAUSE_SECONDS", 0.2)
    async with heard_by(database, stage):
        for seq in range(7, 11):
            await stage.likes(seq, rkey=str(seq))
        await until_async(lambda: len(stage.told()) == 4)
    times = [at for _, at in stage.pds.asked]
    assert min(later - earlier for earlier, later in pairwise(times)) >= 0.2


async def test_one_that_comes_while_many_wait_is_dropped_and_said(database, stage, monkeypatch):
    monkeypatch.setattr(outsiders, "MAX_WAITING", 3)
    stage.pds.answers.clear()
    async with heard_by(database, stage) as started:
        await stage.likes(7, rkey="read")
        await until_async(lambda: stage.pds.asked)
        for seq, rkey in enumerate(("first", "second", "third"), 8):
            await stage.likes(seq, rkey=rkey)
        await until_async(lambda: len(started.heard) == 4)
        stage.pds.answers.set()
        await until_async(lambda: len(stage.told()) == 3)
    assert started.heard == ["outsider", "outsider", "outsider", "dropped"]
    assert [key for key, _ in stage.told()] == [f"{CAROL}/{rkey}" for rkey in ("read", "first", "second")]


async def test_an_account_has_a_share_of_what_waits(database, stage, monkeypatch):
    monkeypatch.setattr(outsiders, "MAX_WAITING_OF_ACCOUNT", 2)
    stage.pds.answers.clear()
    async with heard_by(database, stage) as started:
        for seq in range(7, 10):
            await stage.likes(seq, rkey=str(seq))
        await stage.likes(10, rkey="8")
        await stage.likes(11, DAVE)
        await until_async(lambda: len(started.heard) == 5)
        stage.pds.answers.set()
        await until_async(lambda: len(stage.told()) == 3)
    assert started.heard == ["outsider", "outsider", "dropped", "outsider", "outsider"]
    assert stage.told() == [(f"{CAROL}/7", True), (f"{CAROL}/8", True), (f"{DAVE}/1", True)]


LARGE = {"cid": CID, "value": "x" * 3_000_000}


@pytest.mark.parametrize(
    ("status", "answer"),
    [(200, LARGE), (400, {"error": "InvalidRequest"}), (400, {"error": "RepoTakendown"})],
    ids=["too large", "refused", "taken down"],
)
async def test_a_record_that_its_pds_does_not_show_is_absent_and_delays_no_other(
    *, database, stage, counted, status, answer
):
    await read_two(stage, database, httpx.Response(status, json=answer))
    assert counted[0] == 0
    assert stage.told() == [(f"{CAROL}/1", False), (f"{DAVE}/1", True)]
    assert stage.pds.keys == [f"{CAROL}/1", f"{DAVE}/1"]


@pytest.mark.parametrize(
    ("answer", "failures"),
    [
        (httpx.Response(500, json={"error": "InternalServerError"}), 1),
        (httpx.Response(429), 1),
        (httpx.ConnectError("away"), 1),
        (httpx.Response(404), 0),
        (httpx.Response(200, text="no record"), 0),
    ],
    ids=["fails", "over a limit", "away", "unnamed", "unreadable"],
)
async def test_a_host_is_paused_only_while_it_fails_is_away_or_over_a_limit(
    *, database, stage, counted, answer, failures
):
    await read_two(stage, database, answer)
    assert counted[0] == failures
    assert stage.told() == [(f"{DAVE}/1", True), (f"{CAROL}/1", True)]


@pytest.mark.parametrize(("did", "failures"), [("did:web:away.example", 0), (CAROL, 1)], ids=["web", "plc"])
async def test_a_did_whose_own_server_is_away_pauses_no_host(*, database, stage, counted, did, failures):
    stage.directory.away = True
    async with heard_by(database, stage):
        await stage.says(7, did, ("1", CID))
        await until_async(lambda: counted)
    assert counted[0] == failures


@pytest.fixture(name="counted")
def _counted(monkeypatch):
    """After each read, the failures in a row, by which the pause grows."""
    counted = []

    def noted(failures, **limits):
        counted.append(failures)
        return backoff(failures, **limits)

    monkeypatch.setattr(outsiders, "backoff", noted)
    return counted


async def read_two(stage, database, answer):
    """Of which the first has this answer."""
    stage.pds.first = answer
    stage.pds.answers.clear()
    async with heard_by(database, stage) as started:
        await stage.likes(7)
        await stage.likes(8, DAVE)
        await until_async(lambda: len(started.heard) == 2)
        stage.pds.answers.set()
        await until_async(lambda: len(stage.told()) == 2)


async def test_what_is_gone_while_it_is_read_does_not_come_back(database, stage):
    stage.pds.answers.clear()
    async with heard_by(database, stage):
        await stage.likes(7)
        await until_async(lambda: stage.pds.asked)
        await stage.says(8, CAROL, ("1", None))
        await until_async(stage.told)
        stage.pds.answers.set()
        await stage.likes(9, DAVE)
        await until_async(lambda: len(stage.told()) == 2)
    assert stage.told() == [(f"{CAROL}/1", False), (f"{DAVE}/1", True)]


async def test_one_whose_account_goes_while_it_is_read_is_read_again(database, stage):
    stage.pds.answers.clear()
    async with heard_by(database, stage):
        await stage.likes(7)
        await until_async(lambda: stage.pds.asked)
        await stage.host.says(frame("#account", seq=8, did=CAROL, active=False, status="takendown"))
        await until_async(lambda: stage.kept.reverified)
        stage.pds.answers.set()
        await until_async(stage.told)
    assert (stage.told(), stage.pds.keys) == ([(f"{CAROL}/1", True)], [f"{CAROL}/1"] * 2)


async def test_one_that_changes_while_it_is_read_is_read_again(database, stage):
    stage.pds.answers.clear()
    async with heard_by(database, stage) as started:
        await stage.likes(7)
        await until_async(lambda: stage.pds.asked)
        await stage.likes(8)
        await stage.likes(9, DAVE)
        await until_async(lambda: len(started.heard) == 3)
        stage.pds.answers.set()
        await until_async(lambda: len(stage.told()) == 2)
    assert stage.told() == [(f"{CAROL}/1", True), (f"{DAVE}/1", True)]
    assert stage.pds.keys == [f"{CAROL}/1", f"{CAROL}/1", f"{DAVE}/1"]


async def test_while_nothing_says_what_a_record_is_it_waits(database, stage):
    stage.directory.away = True
    async with heard_by(database, stage):
        await stage.likes(7)
        await until_async(lambda: len(stage.directory.asked) > 1)
        assert stage.told() == []
        stage.directory.away = False
        await until_async(stage.told)
    assert stage.told() == [(f"{CAROL}/1", True)]


async def test_one_that_nothing_says_anything_of_is_left(database, stage, monkeypatch):
    monkeypatch.setattr(outsiders, "MAX_ATTEMPTS", 2)
    stage.directory.away = True
    async with heard_by(database, stage):
        await stage.likes(7)
        await until_async(lambda: len(stage.directory.asked) == 2)
        stage.directory.away = False
        await stage.likes(8, DAVE)
        await until_async(stage.told)
    assert (stage.told(), stage.directory.asked) == ([(f"{DAVE}/1", True)], [CAROL, CAROL, DAVE])


async def test_what_waits_is_heard_again_by_the_next_process(database, stage):
    stage.pds.answers.clear()
    async with heard_by(database, stage):
        await stage.host.says(frame("#identity", seq=6, did=DAVE))
        await until_async(lambda: cursor_in(database) == 6)
        await stage.likes(9)
        await until_async(lambda: stage.pds.asked)
        await stage.host.says(frame("#identity", seq=10, did=DAVE))
        await until_async(lambda: cursor_in(database) == 8)
    stage.pds.answers.set()
    stage.host.greets = [commit(9, CAROL, "3k9", (f"{LIKES}/1", CID)), frame("#identity", seq=10, did=DAVE)]
    async with heard_by(database, stage, "another"):
        await until_async(stage.told)
        await stage.host.says(frame("#identity", seq=11, did=DAVE))
        await until_async(lambda: cursor_in(database) == 11)
    assert (stage.told(), stage.host.cursors) == ([(f"{CAROL}/1", True)], [None, "8"])
