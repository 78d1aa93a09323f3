"""Who sees a comment at its track, and how many count there: they follow in a job, and once whatever happens meanwhile."""

from types import SimpleNamespace

import pytest
from sqlalchemy import delete, select

from projections.reactions import reaction, track_count
from projections.rebuild.rebuild import rebuild
from tests.api.account_deletion.deletion import is_deleted
from tests.api.comments.test_comments import change, say, shown, turn
from tests.api.likes.test_like import read, seen
from tests.api.world import refusal


@pytest.fixture
def comment(client, world, bob, track):
    """A comment of bob's on a track of alice's, which all see."""
    comment = say(client, bob, track).json()
    world.carry()
    return comment


@pytest.fixture
def people(world, alice, bob, admin):
    return SimpleNamespace(alice=alice, bob=bob, carol=world.sign_in("carol"), admin=admin)


def everyone(client, people, track):
    return [[each["id"] for each in shown(client, who, track)] for who in people]


def events_of(client, alice, track):
    found = read(client, alice, f"/tracks/{track['id']}/history")["items"]
    return [each["type"] for each in found if each["type"].startswith("Comment")]


def test_an_author_sees_a_comment_at_once_and_others_within_seconds(client, world, alice, bob, track):
    first, second = (say(client, bob, track, text=text).json() for text in ("One", "Two"))
    assert everyone(client, (bob, alice, None), track) == [[second["id"], first["id"]], [], []]
    world.carry()
    assert everyone(client, (bob, alice, None), track) == [[second["id"], first["id"]]] * 3
    assert seen(client, alice, track) == (False, 0, 2)
    page = read(client, None, f"/tracks/{track['id']}/comments?limit=1")
    [row] = page["items"]
    assert (row["did"], row["handle"], row["text"], row["timestamp_ms"]) == (
        bob.did,
        "bob.test",
        "Two",
        1500,
    )
    assert (row["uri"], row["hidden_by"], row["reason"]) == (second["uri"], None, None)
    page = read(client, None, f"/tracks/{track['id']}/comments?cursor={page['cursor']}")
    assert [each["id"] for each in page["items"]] == [first["id"]]
    change(client, bob, second, "DELETE")
    world.carry()
    assert everyone(client, (bob, None), track) == [[first["id"]]] * 2
    assert seen(client, None, track) == (False, 0, 1)


def test_a_hidden_comment_is_for_its_author_and_operators(client, world, people, track, comment):
    alice, bob, others = people.alice, people.bob, (people.alice, people.carol, None)
    for _ in range(2):
        answer = change(client, alice, comment, "PUT", "/hidden")
        assert answer.json() == {"id": comment["id"], "track_id": track["id"], "hidden": True}
    assert everyone(client, others, track) == [[]] * 3
    for who in (bob, people.admin):
        [row] = shown(client, who, track)
        assert (row["hidden_by"], row["reason"]) == ("artist", None)
    world.carry()
    assert seen(client, alice, track) == (False, 0, 0)
    assert change(client, bob, comment, json={"text": "Please"}).status_code == 200
    assert everyone(client, others, track) == [[]] * 3

    for _ in range(2):
        assert change(client, alice, comment, "DELETE", "/hidden").json()["hidden"] is False
    world.carry()
    assert everyone(client, others, track) == [[comment["id"]]] * 3
    assert seen(client, alice, track) == (False, 0, 1)
    assert events_of(client, alice, track) == ["CommentShown", "CommentHidden"]


def test_the_track_s_owner_alone_hides_a_comment(client, people, track, comment):
    alice = people.alice
    for who in (people.bob, people.carol):
        for method in ("PUT", "DELETE"):
            assert refusal(change(client, who, comment, method, "/hidden")) == (403, "not_owner")
    assert refusal(change(client, alice, {"id": track["id"]}, "PUT", "/hidden")) == (404, "comment_not_found")
    assert refusal(change(client, alice, comment, json={"text": "x"})) == (403, "not_owner")
    assert refusal(change(client, alice, comment, "DELETE")) == (403, "not_owner")
    assert events_of(client, alice, track) == []


def test_a_comment_that_is_taken_down_is_for_its_author_and_operators(client, world, people, track, comment):
    alice, bob, admin = people.alice, people.bob, people.admin
    path = f"/ops/comments/{comment['id']}/takedown"

    def decide(**fields):
        answer = client.post(path, json={"reason": "a threat", **fields}, headers=admin.headers)
        assert answer.status_code == 200, answer.text
        return answer.json()["affected"]

    assert [decide(dry_run=True), decide(), decide()] == [1, 1, 0]
    assert everyone(client, (alice, None), track) == [[], []]
    for who in (bob, admin):
        [row] = shown(client, who, track)
        assert (row["hidden_by"], row["reason"]) == ("operator", "a threat")
    world.carry()
    assert seen(client, alice, track) == (False, 0, 0)
    assert refusal(change(client, alice, comment, "PUT", "/hidden")) == (404, "comment_not_found")
    history = client.get(f"/comments/{comment['id']}/history", headers=alice.headers)
    assert refusal(history) == (404, "comment_not_found")
    kinds = [each["type"] for each in read(client, bob, f"/comments/{comment['id']}/history")["items"]]
    assert kinds == ["TakenDown", "Created"]

    assert decide(lift=True, reason="it was none") == 1
    world.carry()
    assert everyone(client, (alice, None), track) == [[comment["id"]]] * 2
    assert seen(client, alice, track) == (False, 0, 1)
    assert refusal(client.post("/ops/comments/7/takedown", json={"reason": "r"}, headers=admin.headers)) == (
        404,
        "comment_not_found",
    )


def test_while_comments_are_off_none_are_shown_to_others(client, people, track, comment):
    alice = people.alice
    turn(client, alice, False, track)
    assert everyone(client, (alice, None, people.bob, people.admin), track) == [
        [],
        [],
        [comment["id"]],
        [comment["id"]],
    ]
    assert seen(client, alice, track) == (False, 0, 0)
    turn(client, alice, True, track)
    assert everyone(client, (alice, None), track) == [[comment["id"]]] * 2
    assert seen(client, alice, track) == (False, 0, 1)


def test_a_comment_that_is_hidden_before_it_is_carried_is_never_shown(client, world, alice, bob, track):
    comment = say(client, bob, track).json()
    change(client, alice, comment, "PUT", "/hidden")
    for _ in range(2):
        world.carry()
    assert everyone(client, (alice, None), track) == [[], []]
    assert seen(client, alice, track) == (False, 0, 0)


def test_a_rebuild_counts_anew_without_those_that_are_hidden(client, world, people, track, comment):
    alice, bob, admin = people.alice, people.bob, people.admin
    hidden, gone = (say(client, bob, track).json() for _ in range(2))
    client.put(f"/tracks/{track['id']}/like", headers=bob.headers)
    change(client, alice, hidden, "PUT", "/hidden")
    path = f"/ops/comments/{gone['id']}/takedown"
    client.post(path, json={"reason": "r"}, headers=admin.headers)
    for table in (reaction, track_count):
        world.execute(delete(table))
    rebuild(world.log, world.log.projections)
    assert seen(client, alice, track) == (False, 1, 1)
    assert everyone(client, (alice, None), track) == [[comment["id"]]] * 2


def test_the_comments_of_an_account_that_leaves_go_with_it(client, world, people, track, comment):
    alice, bob = people.alice, people.bob
    world.deliver()
    is_deleted(world, client, bob)
    world.carry()
    assert comment["uri"] not in world.pds.records
    assert everyone(client, (alice, None), track) == [[], []]
    assert world.rows(select(reaction)) == []
    assert seen(client, alice, track) == (False, 0, 0)
