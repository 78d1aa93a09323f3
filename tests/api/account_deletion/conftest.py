import pytest

from tests.api.account_deletion.deletion import three_tracks


@pytest.fixture
def tracks(world, client, alice):
    return three_tracks(world, client, alice)
