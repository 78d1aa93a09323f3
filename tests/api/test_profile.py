"""The name and the bio that an account sets here: their events, and what they change."""

from tests.api.world import refusal, upload
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE


def edit(client, person, **fields):
    return client.patch("/me", json=fields, headers=person.headers)


def me(client, person):
    body = client.get("/me", headers=person.headers).json()
    return body["display_name"], body["bio"]


def test_a_name_that_is_set_here_goes_before_the_profiles_until_it_is_cleared(client, alice):
    answer = edit(client, alice, display_name=" DJ Alice ", bio="Plays records.")
    assert (answer.status_code, answer.json()) == (200, client.get("/me", headers=alice.headers).json())
    assert me(client, alice) == ("DJ Alice", "Plays records.")
    edit(client, alice, display_name="")
    assert me(client, alice) == ("Alice", "Plays records.")
    edit(client, alice, bio=None)
    assert me(client, alice) == ("Alice", None)


def test_new_tracks_have_the_name_and_existing_ones_keep_theirs_also_when_they_are_edited(
    client, world, alice
):
    old = upload(client, alice, seed=1)
    edit(client, alice, display_name="DJ Alice")
    new = upload(client, alice, seed=2)
    client.patch(f"/tracks/{old['id']}", json={"title": "Again"}, headers=alice.headers)
    world.deliver()
    assert (world.record(old)["artist"], world.record(new)["artist"]) == ("Alice", "DJ Alice")
    assert world.record(old)["title"] == "Again"


def test_the_audit_shows_who_changed_what_and_the_same_again_is_no_event(client, alice):
    edit(client, alice, display_name="One")
    edit(client, alice, display_name="Two", bio="Words")
    edit(client, alice, display_name="Two")
    rows = client.get("/audit?type=ProfileUpdated", headers=alice.headers).json()["items"]
    assert [row["changes"] for row in rows] == [
        [{"field": "display_name", "before": "One", "after": "Two"}],
        [{"field": "display_name", "before": None, "after": "One"}],
    ]
    [edited] = client.get("/audit?type=Edited", headers=alice.headers).json()["items"]
    assert (edited["kind"], edited["changes"]) == (
        "profile",
        [{"field": "bio", "before": None, "after": "Words"}],
    )
    assert {(row["actor"], row["via"]) for row in rows} == {(alice.did, "token:t")}


REFUSED = [
    {"display_name": "x" * 257},
    {"display_name": "\u200b"},
    {"display_name": "\u2060 \u3164\u00ad"},
    {"bio": "x" * 257},
    {"bio": "\N{FAMILY}" * 641},
    {"bio": "a\0b"},
    {"support_url": "http://support.example"},
    {"support_url": "https://a@support.example"},
    {"support_url": "https://support.example/" + "x" * 1024},
    {"display_name": 5},
    {"bio": "good", "display_name": ["x"]},
]


def test_a_refused_profile_changes_nothing(subtests, client, world, alice):
    before = world.state()
    for fields in REFUSED:
        with subtests.test(str(fields)[:80]):
            assert refusal(edit(client, alice, **fields)) == (400, "invalid_field")
            assert (world.state(), me(client, alice)) == (before, ("Alice", None))
