"""The real servers are fixtures of every test: see tests/servers/."""

import gc
import os

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


gc.disable()  # what is imported and gathered stays: looking through it again and again was a third of that time


def pytest_collection_finish():
    """Leave out of every later collection what lives as long as the process: that was a sixth of the time of all tests."""
    gc.enable()
    gc.collect()
    gc.freeze()
