"""Commands of `mastertape`, run in this process."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from devpds.ports import free_port
from service.cli.main import main
from service.config.settings import PREFIX
from service.wiring.bootstrap import Container

Type = Callable[..., Result]


def type_with(monkeypatch: pytest.MonkeyPatch, **settings: object) -> Type:
    for name, value in {"PORT": free_port(), **settings}.items():
        monkeypatch.setenv(f"{PREFIX}{name}", str(value))
    for module in ("serve", "relay"):  # what they log would go where no test looks for it
        monkeypatch.setattr(f"service.cli.{module}.log_to_stderr", lambda _level: None)
    return lambda *args: CliRunner().invoke(main, args)


@pytest.fixture
def typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Type:
    return type_with(monkeypatch, DATA=tmp_path / "data")


@pytest.fixture
def on_tape(tape: Container, monkeypatch: pytest.MonkeyPatch) -> Type:
    return type_with(monkeypatch, DATA=tape.settings.data, DATABASE_URL=tape.settings.database_url)


@pytest.fixture
def on_empty(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Type:
    return type_with(monkeypatch, DATA=tmp_path / "data", DATABASE_URL=database_url)
