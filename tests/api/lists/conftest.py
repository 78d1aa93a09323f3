"""Tracks for lists."""

import pytest

from tests.api.world import upload


@pytest.fixture
def tracks(client, alice):
    return [upload(client, alice, title=f"Song {seed}", seed=seed) for seed in (1, 2, 3)]
