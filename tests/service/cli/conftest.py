"""Commands of `mastertape`, run in this process."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from service.cli.main import main
from service.config.settings import PREFIX
from service.wiring.bootstrap import Container

Type = Callable[..., Result]


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Type:
    """Type a command, on data of this test."""
    monkeypatch.setenv(f"{PREFIX}DATA", str(tmp_path / "data"))
    return lambda *args: CliRunner().invoke(main, args)


@pytest.fixture
def on_tape(typed: Type, tape: Container, monkeypatch: pytest.MonkeyPatch) -> Type:
    """Type a command, on a database with a track in it."""
    monkeypatch.setenv(f"{PREFIX}DATABASE_URL", tape.settings.database_url)
    return typed


@pytest.fixture
def on_empty(typed: Type, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Type:
    """Type a command, on a database without a schema."""
    monkeypatch.setenv(f"{PREFIX}DATABASE_URL", database_url)
    return typed
