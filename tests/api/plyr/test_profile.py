"""The caller's profile as clients of plyr.fm read and edit it."""

from tests.api.plyr.writing import refused
from tests.servers.databases import ON_SQLITE


def edits(client, person, **fields):
    return client.put("/plyr/artists/me", json=fields, headers=person.headers)


@ON_SQLITE
def test_what_a_profile_cannot_hold_is_refused_and_nothing_is_kept(client, world, alice):
    before = world.state()
    for fields in (
        {"support_url": "http://support.test"},
        {"show_liked_on_profile": True},
        {"avatar_url": "https://pictures.test/a.png"},
        {"bio": "x" * 3000},
        {"biography": "x"},
    ):
        assert refused(edits(client, alice, **{"display_name": "New", **fields}))[0] == 400, fields
        assert world.state() == before
    assert client.get("/plyr/artists/me", headers=alice.headers).json()["display_name"] == "Alice"
