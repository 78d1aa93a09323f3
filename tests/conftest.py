"""The real servers are fixtures of every test: see tests/servers/."""

import gc
import os
from functools import cache
from itertools import islice

import httpx
import hypothesis
import pytest
from httpx._transports import default as httpx_transports

from tests.servers.memory import memory_folder

if (folder := memory_folder()) is not None:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(folder))  # where pytest makes each test's tmp_path

pytest_plugins = [
    "tests.servers.databases",
    "tests.servers.atproto",
    "tests.servers.browser",
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
httpx_transports.create_ssl_context = cache(httpx.create_ssl_context)  # nearly all that a new client costs
gc.disable()  # what is imported and gathered stays: looking through it again and again was a third of that time


def pytest_collection_finish():
    """Leave out of every later collection what lives as long as the process: that was a sixth of the time of all tests."""
    gc.enable()
    gc.freeze()


LONGEST = (
    "tests/e2e/test_kill_matrix.py",
    "tests/e2e/test_demo.py",
    "tests/e2e/test_failover.py",
    "tests/e2e/test_oauth_production.py",
)
"""What takes longest, one by one: begun last, it would keep one worker while the others have nothing left."""


def pytest_collection_modifyitems(config, items):
    """Give each worker some of the longest tests to begin with: it gets a part of the list, and starts at its head."""
    workers = getattr(config, "workerinput", {}).get("workercount", 1)
    longest = [item for item in items if item.nodeid.startswith(LONGEST)]
    others = iter([item for item in items if not item.nodeid.startswith(LONGEST)])
    ordered = []
    for number in range(workers):
        until = len(items) * (number + 1) // workers
        ordered += longest[number::workers]
        ordered += islice(others, max(0, until - len(ordered)))
    items[:] = [*ordered, *others]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
