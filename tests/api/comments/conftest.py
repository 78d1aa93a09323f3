import pytest

from tests.api.comments.test_comments import turn
from tests.api.world import upload


@pytest.fixture
def track(client, world, alice):
    """A track of alice's on which people may comment."""
    turn(client, alice, True)
    track = upload(client, alice)
    world.deliver()
    return track
