"""SQLite and PostgreSQL answer the same random requests alike, and keep the same history. TEST_DEEP sends 2,000 of them."""

import asyncio
import os
from contextlib import ExitStack

import pytest

from tests.api.both_databases import DATABASES, Requests, Side, difference
from tests.api.client import TestClient
from tests.api.conftest import common_settings
from tests.api.world import World

SEEDS = 4 if os.environ.get("TEST_DEEP") else 1
REQUESTS = 500 if os.environ.get("TEST_DEEP") else 150
SETTLED_AFTER = 15
"""So many requests."""


@pytest.fixture
def sides(request, tmp_path):
    with ExitStack() as opened:
        made = []
        for kind in DATABASES:
            data = tmp_path / kind
            own = {
                "data": data,
                "database_url": request.getfixturevalue(f"migrated_{kind}"),
                "media": f"disk:{data}/media",
            }
            world = World(common_settings().model_copy(update=own))
            opened.callback(lambda world=world: asyncio.run(world.made.close()))
            client = opened.enter_context(TestClient(world.app, raise_server_exceptions=False))
            made.append(Side(world, client))
        yield made


@pytest.mark.postgres
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_both_databases_answer_the_same_requests_alike(sides, seed):
    for number, sent in enumerate(Requests(seed).some(REQUESTS)):
        one, other = answers = [side.answer(sent) for side in sides]
        assert one == other, f"request {number} of seed {seed}: {sent}\n{difference(answers)}"
        assert one[0] < 500, f"request {number} of seed {seed}: {sent}"
        if number % SETTLED_AFTER == 0:
            for side in sides:
                side.settle()
    one, other = histories = [side.histories() for side in sides]
    assert one == other, difference(histories)
