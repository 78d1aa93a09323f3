"""A cluster of Citus at work: a worker is away for a while, and shards move to another."""

import asyncio
import time
from collections.abc import AsyncIterator
from functools import partial
from itertools import count
from threading import Event

import pytest
from sqlalchemy.exc import DBAPIError

from aggregates.tracks.track import Track
from eventstore.streams.buckets import bucket_of
from tests.dsl import COLLECTION
from tests.eventstore.threads import together
from tests.outbox.rigs.relay_rig import Rig, memory_rig_on, running, seconds_until_found, until_delivered
from tests.servers.citus import ON_CITUS, away, nodes_of, worker_of
from tests.servers.databases import connection_to

pytestmark = [pytest.mark.anyio, ON_CITUS]
LONGEST_SECONDS = 1.0
PEOPLE = 4
LONG = 240.0
MOVE = """
    select citus_move_shard_placement(shardid, here.nodeid, there.nodeid, 'force_logical')
    from pg_dist_placement at join pg_dist_node here on here.groupid = at.groupid join pg_dist_node there on there.groupid not in (0, here.groupid)
    where shardid = get_shard_id_for_distribution_column('stored_event', %s::smallint)"""


@pytest.fixture
async def desk(migrated_citus: str) -> AsyncIterator[Rig]:
    async with memory_rig_on(migrated_citus) as made:
        yield made


@pytest.fixture
def tracks(desk: Rig) -> list[Track]:
    """One of each account, whose accounts are at one worker and another in turn."""
    url, made = desk.database.url, []
    dids, workers = (f"did:plc:person{number}" for number in count()), nodes_of(url)
    for number in range(PEOPLE):
        of_worker = workers[number % len(workers)]
        did = next(did for did in dids if worker_of(url, did) == of_worker)
        desk.sign_in(did)
        made.append(desk.upload(number, did=did))
    return made


def edit(desk: Rig, track: Track, title: str) -> None:
    change = {"title": title}
    desk.command(track.subject_id, lambda it: it.edit(change, at=desk.clock()), did=track.did)


async def delivered(desk: Rig, tracks: list[Track]) -> list[str]:
    """Wait until all is delivered, and return the titles of the records."""
    desk.relay.wake()
    for track in tracks:
        await until_delivered(desk, track.subject_id)
    records = [desk.pds.get_record(track.did, COLLECTION, track.rkey) for track in tracks]
    return [record["value"]["title"] for record in records if record]


async def test_a_lane_that_no_wake_told_of_is_found_within_fifteen_seconds(desk: Rig) -> None:
    assert await seconds_until_found(desk) <= 15
    assert desk.mirror().state == "delivered"


async def test_while_a_worker_is_away_edits_of_others_go_on_and_all_arrives_when_it_is_back(
    desk: Rig, tracks: list[Track]
) -> None:
    gone, here = tracks[:2]
    async with running(desk):
        await delivered(desk, tracks)
        with away(worker_of(desk.database.url, gone.did)):
            with pytest.raises(DBAPIError):
                await asyncio.to_thread(edit, desk, gone, "Lost")
            await asyncio.to_thread(edit, desk, here, "Meanwhile")
        await asyncio.to_thread(edit, desk, gone, "Back")
        assert await delivered(desk, [gone, here]) == ["Back", "Meanwhile"]


async def test_while_shards_move_to_another_worker_no_edit_fails_or_takes_a_second(
    desk: Rig, tracks: list[Track]
) -> None:
    moved, took, url = Event(), list[float](), desk.database.url

    def edits(track: Track) -> None:
        while not moved.is_set():
            begun = time.monotonic()
            edit(desk, track, f"Take {len(took)}")
            took.append(time.monotonic() - begun)

    def move() -> None:
        try:
            with connection_to(url) as coordinator:
                for track in moving:
                    coordinator.execute(MOVE, [bucket_of(track.did)])
        finally:
            moved.set()

    moving = tracks[: len(nodes_of(url))]  # of one shard of each
    before = [worker_of(url, track.did) for track in moving]
    async with running(desk):
        await asyncio.to_thread(together, move, *[partial(edits, track) for track in tracks], within=LONG)
        for track in tracks:
            edit(desk, track, "Moved")
        assert await delivered(desk, tracks) == ["Moved"] * len(tracks)
    assert [worker_of(url, track.did) for track in moving] == before[::-1]
    assert max(took) < LONGEST_SECONDS, sorted(took)[-5:]
