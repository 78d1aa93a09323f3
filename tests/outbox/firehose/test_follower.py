"""The follower marks other clients' writes to be verified, and resumes after every interruption."""

import asyncio
from collections.abc import AsyncGenerator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import Any

import httpx
import pytest
from sqlalchemy import insert, select

from eventstore.sql.database import Database
from outbox.firehose import follower as followers
from outbox.firehose.cursors import StreamState, claim_streams, let_follow
from outbox.firehose.follower import Follower
from outbox.mirror.hosts import Hosts
from outbox.mirror.lanes import change_lane
from outbox.mirror.tables import NEVER, PAST, firehose_cursor, repo_scan
from tests.outbox.rigs.following import RunningFollower, Told, follower, index_of, rows
from tests.outbox.rigs.foreign_writes import scan
from tests.outbox.rigs.kinds import CommentsRig
from tests.outbox.rigs.relay_rig import Rig
from tests.outbox.rigs.rows import HOST, add_lane, lane_row, set_host
from tests.outbox.rigs.stream_host import CID, commit, error, frame, stream_host
from tests.servers.databases import ON_SQLITE
from tests.waits import until_async

pytestmark = [pytest.mark.anyio, ON_SQLITE]

REV = "3kabcdefgh22{}"
DID = "did:plc:1"


def stream(database: Database) -> Any:
    (found,) = rows(database)
    return found


# A real PDS.


@asynccontextmanager
async def hearing(rig: Rig) -> AsyncGenerator[RunningFollower]:
    """A follower that is connected: it has processed the echo of an edit of ours."""
    async with follower(rig.database) as started:
        await until_async(started.alive)
        number = 0
        async with asyncio.timeout(30):  # where pytest ends a test, its fixtures wait for what it waits for
            while "known" not in started.heard:
                number += 1
                rig.edit(1, title=f"ours {number}")
                await rig.relay_once()
                await asyncio.sleep(0.05)
        yield started


@pytest.mark.pds
@pytest.mark.parametrize("each", [Rig, CommentsRig], indirect=True)
async def test_foreign_writes_are_marked_and_our_own_writes_are_recognized(each):
    edited, gone, other = (each.upload(number) for number in (1, 2, 3))
    await each.relay_once()
    async with hearing(each) as started:
        each.edit(2, title="ours")
        await each.relay_once()
        each.edits_elsewhere(edited, title="theirs")
        each.pds.delete_record(each.did, gone.collection, gone.rkey)
        each.edits_elsewhere(other, mood="blue")
        await until_async(lambda: started.heard.count("foreign") == 3)
        await each.relay_once()

    assert [each.mirror(number).state for number in (1, 2, 3)] == ["held", "detached", "delivered"]
    assert each.remote(edited)[each.TEXT] == "theirs"
    assert each.remote(other)["mood"] == "blue"


# A host that sends the frames of the test.


async def test_a_scan_finds_what_a_stream_leaves_out(desk):
    track = desk.upload()
    await desk.relay_once()
    async with stream_host() as blind:
        desk.sign_in(host=blind.url)
        async with follower(desk.database) as started:
            await until_async(started.alive)
            desk.edits_elsewhere(track, title="theirs")
            await blind.says(commit(1, "did:plc:another", REV.format("x"), ("c/1", CID)))
            assert desk.mirror().state == "delivered"
    desk.sign_in()
    await scan(desk)
    await desk.relay_once()
    assert desk.mirror().state == "held"


def seq_of(database: Database) -> int | None:
    with database.read() as connection:
        return connection.scalar(select(firehose_cursor.c.seq))


async def test_it_goes_on_where_it_was(database, host):
    async with follower(database):
        await until_async(lambda: host.sockets)
        await host.says(frame("#identity", seq=41, did="did:plc:other"))
        await until_async(lambda: seq_of(database) == 41)
        await host.hangs_up()
        await until_async(lambda: len(host.cursors) == 2)
    async with follower(database):
        await until_async(lambda: len(host.cursors) == 3)
    assert host.cursors == [None, "41", "41"]


async def test_its_row_says_whether_it_is_connected_how_late_it_is_and_why_not(database, host, monkeypatch):
    async with follower(database):
        await until_async(lambda: host.sockets)
        long_ago = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
        await host.says(frame("#identity", seq=41, did="did:plc:other", time=long_ago))
        await until_async(lambda: seq_of(database) == 41)
        now = stream(database)
        assert (now["state"], now["problem"]) == (StreamState.FOLLOWED, None)
        assert now["lag_seconds"] == pytest.approx(3600, abs=60)
        monkeypatch.setattr(followers, "FIRST_PAUSE_SECONDS", 60)  # so that it stays away
        await host.hangs_up()
        await until_async(lambda: stream(database)["state"] != StreamState.FOLLOWED)
        lost = stream(database)
        assert (lost["state"], lost["connected_at"]) == (StreamState.DISCONNECTED, None)
        assert lost["problem"]
    assert stream(database)["state"] == StreamState.UNFOLLOWED  # its process has stopped


def was_scanned(database: Database) -> None:
    with database.write() as connection:
        connection.execute(insert(repo_scan).values(did=DID, rev="r", scanned_at=NEVER))


def is_to_be_scanned(database: Database) -> bool:
    with database.read() as connection:
        row = connection.execute(select(repo_scan)).one()
    return (row.rev, row.scanned_at) == (None, PAST)


async def test_a_cursor_older_than_the_hosts_backlog_has_all_its_repos_scanned(database, host):
    was_scanned(database)
    host.greets = [frame("#info", name="OutdatedCursor", message="too old")]
    async with follower(database) as started:
        await until_async(lambda: started.heard)
    assert started.heard == ["OutdatedCursor"]
    assert is_to_be_scanned(database)


async def test_a_host_that_numbers_its_messages_anew_has_all_its_repos_scanned(database, host):
    was_scanned(database)
    with database.write() as connection:
        connection.execute(insert(firehose_cursor).values(host=host.url, seq=1_000_000))
    host.greets = [error("FutureCursor")]
    async with follower(database):
        await until_async(lambda: len(host.cursors) >= 2)
    assert host.cursors[:2] == ["1000000", None]
    assert is_to_be_scanned(database)


@pytest.mark.parametrize(
    "said",
    [
        commit(1, DID, REV.format("a"), tooBig=True),
        frame("#commit", seq=1, repo=DID, ops="none"),
        frame("#sync", seq=1, did=DID, rev=REV.format("a"), blocks=b""),
    ],
    ids=["too big", "unreadable", "sync"],
)
async def test_a_message_without_the_changes_has_the_repo_scanned(database, host, said):
    was_scanned(database)
    async with follower(database) as started:
        await until_async(lambda: host.sockets)
        await host.says(said)
        await until_async(lambda: started.heard)
    assert is_to_be_scanned(database)


@pytest.mark.parametrize("kind", ["#account", "#identity"])
async def test_an_account_or_identity_message_has_the_account_probed(database, host, kind):
    async with follower(database) as started:
        await until_async(lambda: host.sockets)
        await host.says(frame(kind, seq=1, did=DID, active=False))
        await until_async(lambda: started.heard)
    assert lane_row(database, DID).probe_at < NEVER


async def test_an_account_is_probed_once_a_minute_however_often_its_host_says_that_it_has_changed(
    database, host
):
    async with follower(database) as started:
        await until_async(lambda: host.sockets)
        await host.says(frame("#account", seq=1, did=DID, active=False))
        await until_async(lambda: len(started.heard) == 1)
        first = lane_row(database, DID).probe_at
        with database.write() as connection:  # as after the probe
            change_lane(connection, DID, probe_at=NEVER)
        for seq in (2, 3, 4):
            await host.says(frame("#identity", seq=seq, did=DID))
        await until_async(lambda: len(started.heard) == 4)
    assert lane_row(database, DID).probe_at == first + timedelta(minutes=1)


async def test_what_cannot_be_read_is_passed_over(database, host):
    async with follower(database) as started:
        await until_async(lambda: host.sockets)
        await host.says(
            b"\xff\xff", b"", frame("#new", seq=1, did=DID), commit(2, DID, REV.format("a"), ("c/1", CID))
        )
        await until_async(lambda: "foreign" in started.heard)
    assert len(host.cursors) == 1


async def test_one_follower_listens_to_a_host_and_another_takes_over(database, host):
    async with follower(database, "second") as second:
        await until_async(second.alive)
        async with follower(database, "third"):
            assert claim_streams(database, owner="fourth", lease=timedelta(seconds=60), limit=10) == []
            assert len(host.sockets) == 1
    async with follower(database, "third") as third:
        await until_async(third.alive)


def test_one_of_many_processes_claims_a_stream(database):
    add_lane(database, 1)
    together = Barrier(6)

    def claim(owner: int) -> list[str]:
        together.wait()
        return claim_streams(database, owner=str(owner), lease=timedelta(seconds=60), limit=10)

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(claim, range(6))) == [[], [], [], [], [], [HOST]]


async def test_no_connection_is_made_to_an_address_that_is_refused(database, host):
    class Nowhere:
        async def of(self, _origin: str) -> str:
            raise httpx.ConnectError("the address is not a public one")

    running = Follower(database, Hosts(database), Nowhere(), index_of(Told()), owner="one")
    stop = asyncio.Event()
    task = asyncio.create_task(running.run(stop))
    await until_async(lambda: stream(database)["problem"])
    stop.set()
    await task
    assert host.cursors == []


async def test_no_process_subscribes_to_a_paused_host(database, host):
    set_host(database, host.url, paused=True)
    assert claim_streams(database, owner="one", lease=timedelta(seconds=60), limit=10) == []


async def test_a_host_that_is_followed_no_longer_is_left_and_later_read_from_its_newest_message_on(
    database, host, monkeypatch
):
    monkeypatch.setattr(followers, "CLAIM_INTERVAL_SECONDS", 0.05)
    with database.write() as connection:
        connection.execute(insert(firehose_cursor).values(host=host.url, seq=7))
    async with follower(database):
        await until_async(lambda: host.sockets)
        lets_follow(database, host.url, followed=False)
        await until_async(lambda: not host.sockets)
        assert rows(database) == []
        lets_follow(database, host.url, followed=True)
        await until_async(lambda: host.sockets)
    assert host.cursors == ["7", None]


def lets_follow(database, host, *, followed):
    with database.write() as connection:
        assert let_follow(connection, host, followed=followed) == 1
