import pytest

from tests.api.comments.test_comments import open_to_comments


@pytest.fixture
def track(client, world, alice):
    return open_to_comments(client, world, alice)
