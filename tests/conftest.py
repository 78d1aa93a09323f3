"""The real servers are fixtures of every test: see tests/servers/."""

import gc
import os
from collections import defaultdict
from functools import cache
from itertools import chain, islice

import httpx
import hypothesis
import pytest
from httpx._transports import default as httpx_transports

from service.config.settings import PREFIX
from tests.buckets.watch import require_buckets, watch
from tests.servers.memory import memory_folder

if (folder := memory_folder()) is not None:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(folder))  # where pytest makes each test's tmp_path

pytest_plugins = [
    "tests.servers.databases",
    "tests.servers.atproto",
    "tests.servers.citus",
    "tests.servers.proxied",
    "tests.servers.s3",
    "tests.servers.statements",
]


hypothesis.settings.register_profile(
    "mastertape",
    deadline=None,  # a machine that stalls is no failure
    suppress_health_check=[
        hypothesis.HealthCheck.too_slow,
        hypothesis.HealthCheck.function_scoped_fixture,  # each example makes tracks of its own, or begins with none
    ],
)
hypothesis.settings.load_profile("mastertape")
watch()
httpx_transports.create_ssl_context = cache(httpx.create_ssl_context)  # nearly all that a new client costs
gc.disable()  # what is imported and gathered stays: looking through it again and again was a third of that time


def pytest_collection_finish():
    """Leave out of every later collection what lives as long as the process: that was a sixth of the time of all tests."""
    gc.enable()
    gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    """Begin with the tests of whole services, in every other worker: they wait much, while the rest computes.

    A worker gets a part of the list, and starts at its head. More of them at once would starve each other; begun last, they would
    keep some workers while the others have nothing left.
    """
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    of_file = defaultdict(list)
    for item in items:
        of_file[item.path if item.nodeid.startswith("tests/e2e/") else None].append(item)
    others = iter(of_file.pop(None, []))
    files = list(of_file.values())
    ordered = []
    for number in range(workers):
        until = len(items) * (number + 1) // workers
        if number % 2 == 0:
            ordered += chain.from_iterable(files[number // 2 :: (workers + 1) // 2])
        ordered += islice(others, max(0, until - len(ordered)))
    items[:] = [*ordered, *others]


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _within_a_bucket():
    yield
    require_buckets()


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
