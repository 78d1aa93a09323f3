"""Lists of tracks."""

import pytest

from tests.api.world import upload
from tests.servers.databases import ON_SQLITE
from tests.statements import recorded_statements

pytestmark = ON_SQLITE

QUERIES = [
    ("", ["Drei", "two", "one"]),
    ("?artist=alice.test", ["two", "one"]),
    ("?artist=@alice.test", ["two", "one"]),
    ("?artist=did:plc:aliceaaaaaaaaaaaaaaaaaaa", ["two", "one"]),
    ("?artist=nobody.test", []),
    ("?artist=did:plc:nobody", []),
    ("?artist=%00", []),
    ("?artist=%ed%a0%80", []),
    ("?album=A", ["Drei", "one"]),
    ("?tag=jazz", ["two"]),
    ("?tag=Rock&artist=alice.test", ["two", "one"]),
    ("?tag=%20%20ROCK%20", ["two", "one"]),
    ("?tag=Drum%20%20and%0Abass-", ["two"]),
    ("?tag=-", []),
    ("?q=dre", ["Drei"]),
    ("?q=%00", []),
    ("?q=%25", []),
]


def titles(client, query="", person=None):
    answer = client.get(f"/tracks{query}", headers=person.headers if person else {})
    assert answer.status_code == 200, answer.text
    return [track["title"] for track in answer.json()["items"]]


@pytest.fixture(autouse=True)
def tracks(client, alice, bob):
    upload(client, alice, seed=1, title="one", album="A", tags=["rock"])
    upload(client, alice, seed=2, title="two", album="B", tags=["rock", "jazz", " Drum  and\tBass -"])
    upload(client, alice, seed=3, title="secret", unlisted="true")
    upload(client, bob, seed=4, title="Drei", album="A")


def test_lists_show_what_is_asked_for_newest_first(subtests, client):
    for query, expected in QUERIES:
        with subtests.test(query or "all"):
            assert titles(client, query) == expected


def test_unlisted_tracks_are_listed_for_their_owner_only_and_open_by_id(client, alice, bob):
    assert titles(client, "?artist=alice.test", alice) == ["secret", "two", "one"]
    assert titles(client, "?artist=alice.test", bob) == ["two", "one"]
    secret = client.get("/tracks?q=secret", headers=alice.headers).json()["items"][0]
    assert client.get(f"/tracks/{secret['id']}").status_code == 200


def test_pages_go_on_where_the_one_before_ended_while_new_tracks_come(client, bob):
    first = client.get("/tracks?limit=2").json()
    upload(client, bob, seed=9, title="new")
    second = client.get(f"/tracks?limit=2&cursor={first['cursor']}").json()
    assert [track["title"] for track in first["items"] + second["items"]] == ["Drei", "two", "one"]
    assert second["cursor"] is None


def test_a_cursor_is_opaque_and_a_number_of_an_earlier_version_goes_on(client):
    first = client.get("/tracks?limit=2").json()
    assert not first["cursor"].isdigit()
    ids = [first["cursor"], first["items"][-1]["id"]]
    assert len({client.get(f"/tracks?cursor={each}").text for each in ids}) == 1


def test_a_page_costs_the_same_few_statements_however_long_it_is(client, world):
    counts = []
    for limit in (1, 100):
        with recorded_statements(world.database.engine) as seen:
            client.get(f"/tracks?limit={limit}")
        counts.append(len(seen))
    assert counts[0] == counts[1] > 0
