from datetime import timedelta

import pytest

from replay import exports


@pytest.fixture(autouse=True)
def _any_time(monkeypatch):
    monkeypatch.setattr(exports, "MIN_PAUSE", timedelta())
