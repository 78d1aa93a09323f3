"""Hosts with one account each that never answer, or late: the lanes of a relay are for the others, too."""

import asyncio
from datetime import UTC, datetime, timedelta
from functools import partial

import httpx
import pytest
import sqlalchemy as sa

from outbox.mirror.tables import lane
from outbox.pds.client import WRITE_TIMEOUT_SECONDS
from outbox.record.dag_cbor import cid_of, encode
from outbox.relay import relay as relay_module
from outbox.relay.relay import RelayLimits
from tests.dsl import ALICE, a_track
from tests.fake_pds.signed_in_pds import SignedInPds
from tests.outbox.rigs.relay_rig import ARTIST, Rig
from tests.outbox.rigs.wire import ANYONE, Wire
from tests.simulation.memory_database import memory_database
from tests.simulation.virtual_time import VirtualLoop

LANES = RelayLimits().lanes
HANGING_HOSTS = 2 * LANES
SLOW_HOSTS = 2 * LANES
TRACKS_OF_A_SLOW_HOST = 4
LATE_ANSWER_SECONDS = 29.0
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


class HangingWire(Wire):
    """The hosts whose name says so never answer, or late."""

    async def request(self, did, method, nsid, *, host, **given):
        if "hangs" in host:
            await asyncio.sleep(3600)
        if "slow" in host:
            await asyncio.sleep(LATE_ANSWER_SECONDS)
            cid = cid_of(encode(given["json"]["record"]))
            return httpx.Response(200, json={"uri": "at://x/y/z", "cid": cid})
        return await super().request(did, method, nsid, host=host, **given)


@pytest.fixture
def loop(monkeypatch):
    made = VirtualLoop()
    monkeypatch.setattr(relay_module, "LeaseClock", partial(relay_module.LeaseClock, clock=made.time))
    yield made
    made.end()


@pytest.fixture
def rig(loop):
    pds = SignedInPds()

    def now():
        return BEGIN + timedelta(seconds=loop.time())

    http = httpx.AsyncClient(transport=pds)
    return Rig(memory_database(now), pds, ALICE, HangingWire(pds, http, ANYONE, "token"), now)


@pytest.fixture
def running(loop, rig):
    """The relay, at work; many hosts of an attacker hang, each with one account that has an edit to deliver."""
    for number in range(HANGING_HOSTS):
        did = f"did:plc:hanging{number}"
        rig.sign_in(did, f"https://hangs-{number}.example")
        rig.upload(1000 + number, did=did)
    yield from at_work(loop, rig)


@pytest.fixture
def beside_slow_hosts(loop, rig):
    """The relay, at work; many hosts of an attacker answer late, each with one account that has a few edits to deliver."""
    for number in range(SLOW_HOSTS):
        did = f"did:plc:slow{number}"
        rig.sign_in(did, f"https://slow-{number}.example")
        for track in range(TRACKS_OF_A_SLOW_HOST):
            rig.upload(1000 + number * TRACKS_OF_A_SLOW_HOST + track, did=did)
    yield from at_work(loop, rig)


def at_work(loop, rig):
    stop = asyncio.Event()
    task = loop.create_task(rig.relay.run(stop))
    loop.advance(0.5)
    yield
    stop.set()
    loop.run(task)


def seconds_to_deliver(loop, rig, track_id):
    rig.upload(track_id)
    began = loop.time()
    while rig.mirror(track_id).state != "delivered":
        loop.advance(0.5)
        assert loop.time() < began + 3600
    return loop.time() - began


def leased_lanes(rig, named):
    leased = sa.select(sa.func.count()).where(lane.host.contains(named), lane.lease_until > rig.clock())
    with rig.database.read() as connection:
        return connection.scalar(leased)


@pytest.mark.usefixtures("running")
def test_hosts_that_all_hang_for_the_first_time_delay_the_others_by_one_timeout_each(loop, rig):
    rounds = HANGING_HOSTS / LANES
    assert seconds_to_deliver(loop, rig, 1) <= (rounds + 1) * WRITE_TIMEOUT_SECONDS


@pytest.mark.usefixtures("running")
def test_hosts_that_did_not_answer_the_last_time_leave_half_of_the_lanes_to_others(loop, rig):
    loop.advance((HANGING_HOSTS / LANES + 1) * WRITE_TIMEOUT_SECONDS)  # each has failed once

    for number in range(5):
        assert seconds_to_deliver(loop, rig, 1 + number) <= 2.0
        loop.advance(20)


@pytest.mark.usefixtures("beside_slow_hosts")
def test_hosts_that_answer_late_leave_three_quarters_of_the_lanes_to_others(loop, rig):
    loop.advance((SLOW_HOSTS / LANES + 1) * LATE_ANSWER_SECONDS)  # each has answered once

    for number in range(3):
        assert seconds_to_deliver(loop, rig, 1 + number) <= 2.0
        assert leased_lanes(rig, "slow") <= LANES / 4
        loop.advance(20)


@pytest.mark.usefixtures("beside_slow_hosts")
def test_an_edit_whose_caller_waits_takes_no_lane_at_a_slow_host_beyond_that(loop, rig):
    loop.advance((SLOW_HOSTS / LANES + 1) * LATE_ANSWER_SECONDS)

    for number in range(SLOW_HOSTS):
        did = f"did:plc:slow{number}"
        with rig.log.unit_of_work(did, ARTIST) as unit:
            rig.relay.claim_with(unit)
            unit.save(a_track(9000 + number, did=did))
    loop.advance(0.5)

    assert leased_lanes(rig, "slow") <= LANES / 4
