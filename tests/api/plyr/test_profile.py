"""The caller's profile as clients of plyr.fm read and edit it."""

import pytest

from tests.api.plyr.writing import refused
from tests.servers.databases import ON_SQLITE


def edits(client, person, **fields):
    return client.put("/plyr/artists/me", json=fields, headers=person.headers)


@ON_SQLITE
@pytest.mark.parametrize(
    "fields",
    [
        {"support_url": "http://support.test"},
        {"show_liked_on_profile": True},
        {"avatar_url": "https://pictures.test/a.png"},
        {"bio": "x" * 3000},
        {"biography": "x"},
    ],
)
def test_what_a_profile_cannot_hold_is_refused_and_nothing_is_kept(client, world, alice, fields):
    before = world.state()
    assert refused(edits(client, alice, **{"display_name": "New", **fields}))[0] == 400
    assert world.state() == before
    assert client.get("/plyr/artists/me", headers=alice.headers).json()["display_name"] == "Alice"
