"""The name and the bio that an account sets here: their events, and what they change."""

import pytest

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


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"display_name": "x" * 257}, (400, "invalid_field")),
        ({"display_name": "\u200b"}, (400, "invalid_field")),
        ({"display_name": "\u2060 \u3164\u00ad"}, (400, "invalid_field")),
        ({"bio": "x" * 257}, (400, "invalid_field")),
        ({"bio": "\N{FAMILY}" * 641}, (400, "invalid_field")),
        ({"bio": "a\0b"}, (400, "invalid_field")),
        ({"support_url": "http://support.example"}, (400, "invalid_field")),
        ({"support_url": "https://a@support.example"}, (400, "invalid_field")),
        ({"support_url": "https://support.example/" + "x" * 1024}, (400, "invalid_field")),
        ({"display_name": 5}, (400, "invalid_field")),
        ({"displayName": "x"}, (400, "unknown_field")),
        ({"bio": "good", "display_name": ["x"]}, (400, "invalid_field")),
    ],
)
def test_a_refused_profile_changes_nothing(client, world, alice, fields, error):
    before = world.state()
    assert refusal(edit(client, alice, **fields)) == error
    assert (world.state(), me(client, alice)) == (before, ("Alice", None))


def test_an_account_that_leaves_edits_no_profile(client, world, alice):
    upload(client, alice)
    world.deliver()
    client.delete("/me", headers=alice.headers)
    assert refusal(edit(client, alice, bio="x")) == (409, "leaving")
