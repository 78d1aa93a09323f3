"""Another order takes the same few statements and round trips, however long the list is."""

import pytest

from tests.api.lists.requests import ids, read
from tests.api.lists.test_playlists import playlist
from tests.api.world import upload
from tests.servers.databases import ON_POSTGRES
from tests.statements import recorded_statements, traced_round_trips

STATEMENTS = {"sqlite": 10, "postgresql": 11}
"""Those of a PATCH, the tracks, and what the list refers to."""
ROUND_TRIPS = 7


@pytest.fixture
def made(world, client, alice):
    """A playlist that has had another order before."""
    made = playlist(client, alice, *[upload(client, alice, seed=seed) for seed in range(1, 7)])
    world.deliver()
    return turned(client, alice, made).json()


def turned(client, person, made):
    first, *others = made["tracks"]
    order = {"tracks": [{"track_id": each["track_id"]} for each in (*others, first)]}
    decided_on = {"If-Match": f'"{made["version"]}"'}
    return client.put(f"/playlists/{made['id']}/tracks", json=order, headers=person.headers | decided_on)


def test_an_order_takes_a_few_statements(world, client, alice, made):
    with recorded_statements(world.database.engine) as seen:
        assert turned(client, alice, made).status_code == 200
    assert len(seen) == STATEMENTS[world.database.dialect], seen
    assert not [sql for sql in seen if "list_item" in sql], "its items are the same"


@ON_POSTGRES
def test_an_order_takes_a_few_round_trips_to_postgresql(world, client, alice, made):
    with traced_round_trips(world.database.engine) as round_trips:
        assert turned(client, alice, made).status_code == 200
        assert round_trips() == ROUND_TRIPS


def test_an_order_answers_what_a_get_reads(client, alice, made):
    answer = turned(client, alice, made)
    assert ids(answer.json()) == [*ids(made)[1:], ids(made)[0]]
    assert answer.json() == read(client, made, alice, path="/playlists")
