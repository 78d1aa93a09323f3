"""An account has its PDS compared with the log: once at a time, beside few others, and told of all that was not judged."""

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from outbox.mirror.hosts import PacedPds
from outbox.repo.reads import RepoReads
from replay.reconcile.verify import MAX_CONCURRENT_REPOS_OF_A_HOST, Repo, Verified, Verifier
from tests.api.client import TestClient
from tests.api.world import World, did_of, upload
from tests.servers.databases import ON_SQLITE

pytestmark = [pytest.mark.anyio, ON_SQLITE]

EMPTY = httpx.Response(200, json={"records": []})


class Told(Verifier):
    """Says when so many have asked."""

    def __init__(self, *of: Any, asks: int = 0, **options: Any) -> None:
        super().__init__(*of, **options)
        self.left, self.all_asked = asks, asyncio.Event()

    async def verify(self, repo: Repo) -> Verified:
        self.left -= 1
        if self.left == 0:
            self.all_asked.set()
        return await super().verify(repo)


@asynccontextmanager
async def served(world: World, answer: Callable[[httpx.Request], Any], **options: Any):
    async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
        reads = RepoReads(PacedPds(world.pds, http, world.made.hosts))
        verifier = Told(world.database, reads, **options)
        world.serve(verifier=verifier)
        yield verifier


@pytest.fixture
def people(world: World) -> list[Any]:
    made = [world.sign_in(name) for name in ("alice", "bob", "carol")]
    with TestClient(world.app) as client:
        for person in made:
            upload(client, person)
    world.deliver()
    return made


async def test_one_comparison_of_an_account_is_under_way_and_answers_all_who_ask(world, people):
    goes_on, asked = asyncio.Event(), []

    async def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        await goes_on.wait()
        return EMPTY

    async with served(world, answer, asks=30) as verifier, world.async_client(people[0]) as client:
        async with asyncio.TaskGroup() as group:
            posts = [group.create_task(client.post("/me/verify", timeout=60)) for _ in range(30)]
            async with asyncio.timeout(60):
                await verifier.all_asked.wait()
            goes_on.set()
        assert {each.result().status_code for each in posts} == {200}
        assert len(asked) == 1
        await client.post("/me/verify")
        assert len(asked) == 2  # the next one asks again


async def test_a_host_is_asked_for_two_accounts_at_once_and_the_others_are_to_try_again(world, people):
    goes_on, asked, full = asyncio.Event(), set(), asyncio.Event()

    async def answer(request: httpx.Request) -> httpx.Response:
        asked.add(request.url.params["repo"])
        if len(asked) == MAX_CONCURRENT_REPOS_OF_A_HOST:
            full.set()
        await goes_on.wait()
        return EMPTY

    async def posts(person: Any) -> httpx.Response:
        async with world.async_client(person) as client:
            return await client.post("/me/verify", timeout=60)

    first, second, third = people
    async with served(world, answer, max_wait_seconds=0.1), asyncio.TaskGroup() as group:
        done = [group.create_task(posts(person)) for person in (first, second)]
        async with asyncio.timeout(60):
            await full.wait()
        refused = await posts(third)
        goes_on.set()
    assert (refused.status_code, refused.json()["detail"]["error"]) == (429, "rate_limited")
    assert refused.headers["retry-after"]
    assert [each.result().status_code for each in done] == [200, 200]
    assert did_of("carol") not in asked


async def test_a_record_that_cannot_be_read_is_named_as_not_judged(world, people):
    [uri] = [each for each in world.pds.records if did_of("alice") in each]
    listed = {"records": [{"uri": uri, "cid": "garbage", "value": {}}]}
    async with (
        served(world, lambda _request: httpx.Response(200, json=listed)),
        world.async_client(people[0]) as client,
    ):
        found = (await client.post("/me/verify")).json()
    assert found == {"records": 1, "drifts": [], "unjudged": [uri], "more": 0, "problem": None}


async def test_of_many_records_that_differ_the_first_are_listed_shortly_and_the_others_counted(world, people):
    [uri] = [each for each in world.pds.records if did_of("alice") in each]
    before = uri.rpartition("/")[0]

    def answer(request: httpx.Request) -> httpx.Response:
        page = int(request.url.params.get("cursor", "0"))
        names = [f"{100 * page + each:04}{'x' * 1000}" for each in range(100)]
        entries = [{"uri": f"{before}/{name}", "cid": "garbage"} for name in names]
        return httpx.Response(
            200, json={"records": entries, **({"cursor": f"{page + 1}"} if page < 11 else {})}
        )

    async with served(world, answer), world.async_client(people[0]) as client:
        found = (await client.post("/me/verify")).json()
    assert [drift["kind"] for drift in found["drifts"]] == ["missing"]
    assert (len(found["unjudged"]), found["more"], found["records"]) == (1000, 200, 1200)
    assert {(len(each), each[-2:]) for each in found["unjudged"]} == {(256, "x\u2026")}
