"""Hosts that flood their firehoses take a share of the process, whatever they send; deliveries and the loop keep the rest."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import insert

from eventstore.sql.database import Database
from outbox.firehose.connection import MAX_SHARE
from outbox.firehose.cursors import StreamState, streams
from outbox.firehose.follower import Follower
from outbox.mirror.hosts import Hosts
from outbox.mirror.tables import NEVER, PAST, delivery_attempt
from tests.neighbours.flooding_hosts import FIRST_NUMBER, FLOODS, flooding_hosts
from tests.outbox.rigs.following import Told, index_of
from tests.outbox.rigs.relay_rig import Rig
from tests.outbox.rigs.rows import add_lane, change_target
from tests.outbox.rigs.stream_host import Loopback

pytestmark = pytest.mark.anyio

HOSTS = 16
ATTEMPTS = 1500
"""Of each record that the hosts write of."""
DELIVERIES = 10
LOOP_WORK_SECONDS = 0.3
ROUNDS = 4
"""Of other work beside the floods: in one alone, what the streams cost as they begin weighs most."""
THE_WORST = ("values", "tiny messages", "pings", "one record of ours")
MAX_PART_OF_TIME = 2 * MAX_SHARE
"""What the floods may use, in CPU time; the machine may be busy, so that other work takes longer than its CPU time."""


@asynccontextmanager
async def followed(database: Database, hosts: list[str]) -> AsyncGenerator[None]:
    """Listen to these hosts, on each of which an account of ours has a record that was delivered many times."""
    for number, host in enumerate(hosts, FIRST_NUMBER):
        did = add_lane(database, number, host=host, due_at=NEVER, lease_owner=None)
        change_target(database, did, acked_gen=1, observed_cid="ours")
        with database.write() as connection:
            record = {"did": did, "collection": "c", "rkey": str(number), "op": "put", "epoch": 1}
            ended = {"started_at": PAST, "ended_at": PAST, "outcome": "done", "rev": "3z"}
            attempts = [
                {**record, **ended, "gen": gen, "request_cid": f"ours {gen}"} for gen in range(ATTEMPTS)
            ]
            connection.execute(insert(delivery_attempt), attempts)
    follower = Follower(database, Hosts(database), Loopback(), index_of(Told()), owner="test")
    stop = asyncio.Event()
    running = asyncio.create_task(follower.run(stop))
    async with asyncio.timeout(60):
        while followed_streams(database) < len(hosts):  # noqa: ASYNC110 - of its own rows
            await asyncio.sleep(0.05)
    try:
        yield
    finally:
        stop.set()
        await running


def followed_streams(database: Database) -> int:
    with database.read() as connection:
        return streams(connection, database.now(connection), limit=1).by_state.get(StreamState.FOLLOWED, 0)


async def cpu_of_other_work(rig: Rig) -> float:
    """The CPU time of the process until an account's edits are delivered and the loop has done some work."""
    begun, left = time.process_time(), LOOP_WORK_SECONDS
    for number in range(DELIVERIES):
        rig.edit(title=f"edit {number} at {begun}")
        await rig.relay_once()
        assert rig.mirror().state == "delivered"
    while left > 0:
        piece = time.thread_time()
        while time.thread_time() - piece < 0.001:
            pass
        left -= 0.001
        await asyncio.sleep(0)
    return time.process_time() - begun


@pytest.mark.parametrize("kind", FLOODS if os.environ.get("TEST_DEEP") else THE_WORST)
async def test_other_work_costs_hardly_more_while_sixteen_hosts_flood(rig: Rig, kind: str) -> None:
    rig.upload()
    await rig.relay_once()
    quiet = min([await cpu_of_other_work(rig) for _ in range(2)])
    with flooding_hosts(kind, HOSTS) as hosts:
        async with asyncio.timeout(120), followed(rig.database, hosts):
            begun = time.monotonic()
            loud = sum([await cpu_of_other_work(rig) for _ in range(ROUNDS)])
            elapsed = time.monotonic() - begun
            threads = [each.name for each in threading.enumerate() if each.name.startswith("firehose")]
    assert loud - ROUNDS * quiet < MAX_PART_OF_TIME * elapsed
    assert len(threads) <= 2
