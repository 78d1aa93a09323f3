"""The real servers are fixtures of every test: see tests/servers/."""

import gc
import os
from itertools import chain, groupby
from pathlib import Path

import pytest

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


SLOW = ("e2e", "simulation", "incidents", "neighbours", "bench", "service")
"""Folders of tests that take seconds each."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give each process an equal part of the tests that begins with slow ones, so that none is left with these at the end."""
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    modules = [list(module) for _, module in groupby(items, key=lambda item: item.path)]
    slow = [module for module in modules if _is_slow(module[0].path)]
    quick = [module for module in modules if not _is_slow(module[0].path)]
    dealt: list[pytest.Item] = []
    for number in range(processes):
        dealt += chain.from_iterable(slow[number::processes])
        while quick and len(dealt) < len(items) * (number + 1) / processes:
            dealt += quick.pop(0)
    items[:] = [*dealt, *chain.from_iterable(quick)]


def _is_slow(path: Path) -> bool:
    return path.relative_to(Path(__file__).parent).parts[0] in SLOW


gc.disable()  # what is imported and gathered stays: looking through it again and again was a third of that time


def pytest_collection_finish():
    """Leave out of every later collection what lives as long as the process: that was a sixth of the time of all tests."""
    gc.enable()
    gc.collect()
    gc.freeze()
