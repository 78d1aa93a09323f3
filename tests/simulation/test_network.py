"""Every network fault does to client and host what its name says."""

import asyncio
import random

import httpx
import pytest

from identity.resolution.resolver import Resolver
from outbox.pds.client import Pds, RecordKey
from outbox.pds.verdict import Kind
from tests.fake_pds.pds import FakePds
from tests.fake_pds.plc import FakePlc
from tests.simulation import network_faults as faults
from tests.simulation.network import Network
from tests.simulation.virtual_time import Process, VirtualLoop

HOST, DID, COLLECTION = "https://pds.example.com", "did:plc:aaaaaaaaaaaaaaaaaaaaaaaa", "fm.plyr.track"
KEY = RecordKey(DID, COLLECTION, "a")


class NoNames:
    """A DNS that knows nothing."""

    async def texts(self, _name):
        return []


class Scene:
    """One account, one host, one client."""

    def __init__(self):
        self.loop = VirtualLoop()
        self.pds = FakePds(HOST, lambda: 1_800_000_000 + self.loop.time())
        self.pds.create_account(DID, "a.test", "secret")
        self.token = self.pds.tokens.session(DID, "mastertape")["accessJwt"]
        self.plc = FakePlc(places={DID: ("a.test", HOST)})
        self.network = Network(self.loop, self.pds, self.plc)
        self.http = httpx.AsyncClient(transport=self.network)
        self.api = Pds(self, self.http)

    async def request(self, _did, method, nsid, *, host, timeout, **request):
        headers = {"authorization": f"Bearer {self.token}"}
        url = f"{host}/xrpc/{nsid}"
        sent = self.http.build_request(method, url, headers=headers, timeout=timeout, **request)
        try:
            return await self.http.send(sent)
        finally:
            del sent.headers["authorization"]  # as our sessions do

    def put(self, title="one", *, fault=faults.NO_FAULT, swap=None):
        self.network.plan = faults.ScriptedFaults([fault])
        record = {"$type": COLLECTION, "title": title}
        return self.loop.run(self.api.put(HOST, KEY, record, swap=swap, timeout=30.0))

    @property
    def titles(self):
        """What was committed."""
        return [commit.value["title"] for commit in self.pds.repo(DID).commits[1:]]


@pytest.fixture
def scene():
    made = Scene()
    yield made
    made.loop.end()


def test_a_request_without_a_fault_is_applied_and_answered(scene):
    verdict = scene.put()
    assert (verdict.kind, scene.titles) == (Kind.DONE, ["one"])
    assert scene.loop.time() == pytest.approx(0.02)
    assert scene.loop.run(scene.api.get(HOST, KEY)).cid == verdict.cid


@pytest.mark.parametrize(
    ("fault", "kind", "seconds", "applied"),
    [
        (faults.refused(), Kind.NOT_SENT, 0, 0),
        (faults.cut_before(), Kind.AMBIGUOUS, 0.02, 0),
        (faults.cut_after(), Kind.AMBIGUOUS, 0.05, 1),
        (faults.hang(), Kind.AMBIGUOUS, 30, 0),
        (faults.hang_after(), Kind.AMBIGUOUS, 30, 1),
        (faults.slow(10, 10), Kind.DONE, 20, 1),
        (faults.slow(10, 25), Kind.AMBIGUOUS, 30, 1),
        (faults.slow(35, 1), Kind.AMBIGUOUS, 30, 0),
        (faults.answered(503, "ServiceUnavailable"), Kind.AMBIGUOUS, 0.01, 0),
        (faults.answered(500, "InternalServerError", applied=True), Kind.AMBIGUOUS, 0.02, 1),
        (faults.answered(429, "RateLimitExceeded", retry_after=7), Kind.PACED, 0.01, 0),
        (faults.garbled(), Kind.AMBIGUOUS, 0.01, 0),
        (faults.garbled(200, applied=True), Kind.AMBIGUOUS, 0.02, 1),
    ],
    ids=lambda value: value.name if isinstance(value, faults.NetworkFault) else None,
)
def test_each_fault_is_what_its_name_says(scene, fault, kind, seconds, applied):
    assert scene.put(fault=fault).kind is kind
    assert scene.loop.time() == pytest.approx(seconds)
    assert len(scene.titles) == applied


def test_a_request_that_arrives_twice_is_no_second_commit(scene):
    assert scene.put(fault=faults.twice(5)).kind is Kind.DONE
    scene.loop.advance(10)
    assert scene.titles == ["one"]
    assert scene.network.passages[-1].applied == 2


def test_a_held_request_arrives_after_a_newer_one_and_its_swap_stops_it(scene):
    first = scene.put("one").cid
    assert scene.put("late", fault=faults.held(100), swap=first).kind is Kind.AMBIGUOUS
    scene.put("two", swap=first)
    assert scene.network.under_way == 1
    scene.network.release()
    assert (scene.titles, scene.network.under_way) == (["one", "two"], 0)
    assert scene.network.passages[1].applied == 1


def test_a_held_request_without_a_swap_would_overwrite(scene):
    scene.put("one")
    scene.put("late", fault=faults.held(100), swap=None)
    scene.pds.repo(DID).delete((COLLECTION, "a"))
    scene.loop.advance(200)
    assert scene.pds.repo(DID).records[COLLECTION, "a"].value["title"] == "late"


def test_a_host_that_is_down_refuses_and_a_silent_one_says_nothing(scene):
    scene.network.down.add(HOST)
    assert scene.put().kind is Kind.NOT_SENT
    scene.network.down.clear()
    scene.network.silent.add(HOST)
    assert scene.put().kind is Kind.AMBIGUOUS
    assert scene.titles == []


def test_a_request_of_a_killed_process_arrives_and_its_response_is_lost(scene):
    process = Process("relay")
    scene.network.plan = faults.ScriptedFaults([faults.slow(5, 5)])

    async def send():
        record = {"$type": COLLECTION, "title": "one"}
        await scene.api.put(HOST, KEY, record, swap=None, timeout=30.0)
        pytest.fail("a killed process received a response")

    async def scenario():
        process.start(scene.loop, send())
        await asyncio.sleep(1)
        process.kill(scene.loop.time())
        await asyncio.sleep(60)

    scene.loop.run(scenario())
    assert scene.titles == ["one"]
    assert scene.network.passages[0].over_at == pytest.approx(1)


def test_the_resolver_finds_an_account_where_the_directory_says(scene):
    resolver = Resolver(None, [], scene.http, names=NoNames())
    scene.plc.place(DID, "a.example.com", "https://new.example.com")
    assert scene.loop.run(resolver.resolve(DID)).pds_url == "https://new.example.com"


def test_random_faults_with_one_seed_are_equal():
    def throw():
        dice = faults.RandomFaults(random.Random(7), 0.5)  # noqa: S311 - no secret
        return [dice() for _ in range(200)]

    first, second = throw(), throw()
    assert first == second
    assert {fault.name.split()[0] for fault in first} >= {
        "refused",
        "cut",
        "hang",
        "slow",
        "twice",
        "held",
        "html",
    }
