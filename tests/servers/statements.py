"""Shares compiled statements between tests, each of which has an engine of its own and would compile them again."""

from collections.abc import Iterator
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import create_engine
from sqlalchemy.util import LRUCache

from eventstore.sql import database

MOST = 3000


class _Compiled(LRUCache[Any, Any]):
    """A cache by statement key; the key begins with the dialect, so engines of one kind share entries."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(_alike(key), default)

    def __setitem__(self, key: Any, compiled: Any) -> None:
        super().__setitem__(_alike(key), compiled)


def _alike(key: Any) -> Any:
    dialect, *rest = key
    return (type(dialect), dialect.server_version_info, *rest)


@pytest.fixture(scope="session", autouse=True)
def _statements_stay_compiled() -> Iterator[None]:
    """Make all engines use one cache."""
    options = {"compiled_cache": _Compiled(MOST)}
    with patch.object(database.sa, "create_engine", partial(create_engine, execution_options=options)):
        yield
