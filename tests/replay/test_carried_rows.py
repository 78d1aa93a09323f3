"""Rows that jobs make of other accounts' read models are compared and rebuilt as the read models are."""

import pytest
from sqlalchemy import Integer, delete, select, update

from eventstore.projection import Carried, carried_by
from projections.rebuild.difference import DifferenceKind
from projections.rebuild.rebuild import differences, rebuild
from service.observability.subscribers import PROJECTIONS
from tests.api.client import TestClient
from tests.api.world import upload

CARRYING = [each for each in PROJECTIONS if isinstance(each, Carried)]
CARRIED = carried_by(CARRYING)


@pytest.fixture
def client(world):
    with TestClient(world.app, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def track(world, client):
    """A track that bob likes, likes no longer, and has in a playlist; carol likes it."""
    alice, bob, carol = map(world.sign_in, ("alice", "bob", "carol"))
    track, other = (upload(client, alice, seed=seed) for seed in (1, 2))
    world.deliver()
    for person, of in ((bob, track), (carol, track), (bob, other)):
        assert client.put(f"/tracks/{of['id']}/like", headers=person.headers).status_code < 300
    body = {"name": "P", "tracks": [{"track_id": track["id"]}]}
    assert client.post("/playlists", json=body, headers=bob.headers).status_code == 201
    world.carry()
    assert client.delete(f"/tracks/{other['id']}/like", headers=bob.headers).status_code < 300
    world.carry()
    return track


def live_rows(world, table):
    names = [*table.key, *table.columns]
    query = select(*(table.live.c[name] for name in names)).order_by(
        *(table.live.c[name] for name in table.key)
    )
    return [row._asdict() for row in world.rows(query)]


def is_found(world, table, kind, rows):
    of_table = [each for each in differences(world.log, CARRYING) if each.table == table.live.name]
    assert [(each.kind, each.key) for each in of_table] == [
        (kind, {name: row[name] for name in table.key}) for row in rows
    ]


def write(world, statement):
    with world.database.write() as connection:
        connection.execute(statement)


def other_value(column):
    return column + (1 if isinstance(column.type, Integer) else "?")


@pytest.mark.usefixtures("track")
def test_each_table_that_jobs_write_is_compared_and_rebuilt(world):
    assert differences(world.log, CARRYING) == []
    for table in [each.table for each in CARRIED]:
        rows, values = live_rows(world, table), [name for name in table.columns if name != "did"]
        assert rows, f"the test needs rows of {table.live.name}"
        write(world, update(table.live).values({name: other_value(table.live.c[name]) for name in values}))
        is_found(world, table, DifferenceKind.CHANGED, rows)
        rebuild(world.log, CARRYING)
        rows = live_rows(world, table)
        assert differences(world.log, CARRYING) == []
        write(world, delete(table.live))
        is_found(world, table, DifferenceKind.MISSING, rows)
        rebuild(world.log, CARRYING)
        assert live_rows(world, table) == rows


def test_numbers_are_made_anew_by_a_job_where_a_rebuild_was_cut_off_before_them(
    world, client, track, monkeypatch
):
    [counts] = [each.table for each in CARRIED if each.table.live.name == "track_count"]
    write(world, delete(counts.live))
    write(world, delete(CARRIED[0].table.live))

    def shown():
        return client.get(f"/tracks/{track['id']}").json()["like_count"]

    def ends_the_process(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("projections.rebuild.rebuild.carry_all", ends_the_process)
        with pytest.raises(KeyboardInterrupt):
            rebuild(world.log, CARRYING)
    assert shown() == 0
    assert differences(world.log, CARRYING)
    world.carry()
    assert shown() == 2
    assert differences(world.log, CARRYING) == []


def test_a_row_that_a_job_is_still_to_write_is_no_difference(world, client, track):
    bob, dave = world.sign_in("bob"), world.sign_in("dave")
    client.put(f"/tracks/{track['id']}/like", headers=dave.headers)
    client.delete(f"/tracks/{track['id']}/like", headers=bob.headers)
    client.post("/playlists", json={"name": "N", "tracks": [{"track_id": track["id"]}]}, headers=dave.headers)
    assert differences(world.log, CARRYING) == []
    world.carry()
    assert differences(world.log, CARRYING) == []
