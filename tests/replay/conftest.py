"""A service with a past, and empty databases to begin anew in."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.config.settings import Settings
from tests.api.world import World
from tests.outbox.conftest import desk, rig
from tests.outbox.rigs.kinds import each, each_desk
from tests.servers.databases import clone_sqlite, temporary_database

__all__ = ["desk", "each", "each_desk", "rig"]
ELSEWHERE = [pytest.param("another kind", marks=pytest.mark.postgres), "the same kind"]


@pytest.fixture
def world(tmp_path: Path, migrated_url: str) -> Iterator[World]:
    made = World(Settings(data=tmp_path / "data", database_url=migrated_url))
    yield made
    asyncio.run(made.made.close())


@pytest.fixture
def elsewhere_sqlite(sqlite_template: Path, tmp_path: Path) -> str:
    clone_sqlite(sqlite_template, tmp_path / "elsewhere.db")
    return f"sqlite:///{tmp_path / 'elsewhere.db'}"


@pytest.fixture
def elsewhere_postgres(postgres_url: str, postgres_template: str) -> Iterator[str]:
    with temporary_database(postgres_url, postgres_template) as url:
        yield url


@pytest.fixture(params=ELSEWHERE if os.environ.get("TEST_DEEP") else ELSEWHERE[:1])
def elsewhere(request: pytest.FixtureRequest, migrated_url: str) -> str:
    """A migrated database that is not the world's; of the same kind only with TEST_DEEP."""
    is_sqlite = migrated_url.startswith("sqlite") == (request.param == "the same kind")
    return str(request.getfixturevalue("elsewhere_sqlite" if is_sqlite else "elsewhere_postgres"))
