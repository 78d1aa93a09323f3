"""Statements stay compiled from one test to the next: each has an engine of its own, which would compile all of them again."""

from collections.abc import Iterator
from functools import partial
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import create_engine
from sqlalchemy.util import LRUCache

from eventstore import database

MOST = 3000


class _Compiled(LRUCache[Any, Any]):
    """By a statement's key, which begins with its engine's dialect: those of one kind compile alike."""

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(_alike(key), default)

    def __setitem__(self, key: Any, compiled: Any) -> None:
        super().__setitem__(_alike(key), compiled)


def _alike(key: Any) -> Any:
    dialect, *rest = key
    return (type(dialect), dialect.server_version_info, *rest)


@pytest.fixture(scope="session", autouse=True)
def _statements_stay_compiled() -> Iterator[None]:
    """Give every engine the same cache."""
    options = {"compiled_cache": _Compiled(MOST)}
    with patch.object(database, "create_engine", partial(create_engine, execution_options=options)):
        yield
