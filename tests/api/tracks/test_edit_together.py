"""Many tracks are edited in one unit of work: all of them, or none."""

import pytest
from sqlalchemy import select

from eventstore.sql.schema import stored_event
from tests.api.world import refusal, upload
from tests.servers.databases import ON_SQLITE
from tests.statements import recorded_statements


@pytest.fixture
def three(client, alice):
    return [upload(client, alice, title=f"T{seed}", seed=seed) for seed in (1, 2, 3)]


def edit(client, person, *rows, **headers):
    return client.patch("/tracks", json={"edits": list(rows)}, headers={**person.headers, **headers})


def row(track, **fields):
    return {"id": track["id"], "version": track["version"]} | fields


def read(client, person, track):
    return client.get(f"/tracks/{track['id']}", headers=person.headers).json()


def events(world):
    with world.database.read() as connection:
        return connection.execute(select(stored_event.c.position, stored_event.c.request_id)).all()


def test_fields_of_many_tracks_change_in_one_request(world, client, alice, three):
    before = len(events(world))
    answer = edit(
        client,
        alice,
        row(three[0], title="One", album="Tape"),
        row(three[1], tags=["live"], unlisted=True, album="Tape"),
        row(three[2], downloads="off", description=""),
    )
    assert answer.status_code == 200, answer.text
    one, two, three_ = (read(client, alice, each) for each in three)
    assert (one["title"], one["album"], two["album"]) == ("One", "Tape", "Tape")
    assert (two["title"], two["tags"], two["unlisted"]) == ("T2", ["live"], True)
    assert three_["downloads"] == "off"
    versions = [(each["id"], each["version"]) for each in (one, two, three_)]
    assert [(each["id"], each["version"]) for each in answer.json()["tracks"]] == versions
    assert len({request for _, request in events(world)[before:]}) == 1
    (album,) = client.get(f"/artists/{alice.did}/albums", headers=alice.headers).json()["items"]
    assert (album["title"], album["track_count"]) == ("Tape", 2)
    world.deliver()
    assert world.record(one)["title"] == "One"


@ON_SQLITE
def test_new_albums_of_many_tracks_take_as_many_statements_each_as_those_of_a_few(world, client, alice):
    tracks = [upload(client, alice, seed=seed) for seed in range(12)]

    def statements(some):
        with recorded_statements(world.database.engine) as seen:
            assert (
                edit(client, alice, *(row(each, album=f"A{each['id']}") for each in some)).status_code == 200
            )
        return len(seen)

    few = statements(tracks[:4])
    assert statements(tracks[4:]) <= 2 * few


@ON_SQLITE
def test_an_id_that_no_database_could_hold_is_refused(client, alice, three):
    for number in (2**63, 2**66, -(2**63)):
        answer = edit(client, alice, row(three[0], title="One"), row(three[1], id=number))
        assert refusal(answer) == (400, "invalid_field"), number


def test_one_that_is_refused_keeps_all_as_they_are_and_each_is_named(world, client, alice, bob, three):
    theirs = upload(client, bob, seed=4)
    stale = row(three[1], title="Two")
    client.patch(f"/tracks/{three[1]['id']}", json={"album": "x"}, headers=alice.headers)
    client.delete(f"/tracks/{three[2]['id']}", headers=alice.headers)
    before = world.state()
    answer = edit(
        client, alice, row(three[0], title="One"), stale, row(three[2], title="3"), row(theirs, title="mine")
    )
    assert refusal(answer) == (409, "rows_refused")
    rows = answer.json()["detail"]["rows"]
    assert [(each["id"], each["error"]) for each in rows] == [
        (three[1]["id"], "version_mismatch"),
        (three[2]["id"], "track_not_found"),
        (theirs["id"], "not_owner"),
    ]
    assert rows[0]["version"] == read(client, alice, three[1])["version"]
    wrong = edit(
        client, alice, row(three[0], title=""), row(three[1], tags=["x" * 99]), row(theirs, color="red")
    )
    assert [(each["error"], each["field"]) for each in wrong.json()["detail"]["rows"]] == [
        ("invalid_field", "title"),
        ("invalid_field", "tags"),
        ("unknown_field", "color"),
    ]
    assert world.state() == before


@ON_SQLITE
def test_a_repetition_changes_nothing_more(client, alice, three):
    rows = [row(each, title="Same") for each in three]
    first, again = (edit(client, alice, *rows, **{"Idempotency-Key": "k"}) for _ in range(2))
    assert first.json() == again.json()
    assert edit(client, alice, *rows).status_code == 409
    now = [read(client, alice, each) for each in three]
    unchanged = edit(client, alice, *(row(each, title="Same") for each in now)).json()["tracks"]
    assert [each["version"] for each in unchanged] == [each["version"] for each in now]


@ON_SQLITE
def test_rows_that_name_no_track_or_one_twice_or_too_many_are_refused(client, alice, three):
    for rows in ([], [{}], [5], [row(three[0]), row(three[0])], [{"id": number} for number in range(1, 102)]):
        assert refusal(edit(client, alice, *rows)) == (400, "invalid_field"), rows
    assert refusal(client.patch("/tracks", json={}, headers=alice.headers))[0] == 422
