"""Settings of a test alone, and applications made of them."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.bootstrap import Application, build
from service.settings import PREFIX, Settings


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)


@pytest.fixture
def settings(tmp_path: Path, migrated_url: str) -> Settings:
    """Settings on a migrated database, once of each kind."""
    return Settings(data=tmp_path / "data", database_url=migrated_url)


@pytest.fixture
def application(settings: Settings) -> Iterator[Application]:
    """Everything, and nothing running."""
    made = build(settings)
    yield made
    asyncio.run(made.close())


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """An environment of our own: data in a folder of the test."""
    monkeypatch.setenv(f"{PREFIX}DATA", str(tmp_path / "data"))
    return monkeypatch
