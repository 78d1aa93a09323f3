"""Likes, comments and the profile in the studio: their states and histories, decisions, and comments at one's own tracks."""

import pytest

from tests.api.comments.test_comments import change, say, turn
from tests.api.likes.test_like import like, make_due
from tests.api.world import upload
from tests.web.studio.forms import forms_of, send


@pytest.fixture
def track(world, client, bob):
    turn(client, bob, True)
    made = upload(client, bob, title="First Take")
    world.deliver()
    return made


@pytest.fixture
def comment(world, client, alice, track):
    """Of alice's, on a track of bob's."""
    made = say(client, alice, track).json()
    world.deliver()
    world.carry()
    return made


def save_bio(client, alice, bio):
    answer = client.patch("/me", json={"bio": bio}, headers=alice.headers)
    return answer.json()["profile"]


def edit_comment(client, alice, made, text):
    change(client, alice, made, json={"text": text})
    return made


def edited_elsewhere(world, made, **fields):
    world.pds.records[made["uri"]] = {**world.pds.records[made["uri"]], **fields}


@pytest.mark.parametrize(
    ("kind", "side", "text"),
    [("comment", "ours", "mine"), ("comment", "theirs", "theirs"), ("profile", "theirs", "theirs")],
)
def test_another_program_s_edit_is_decided_as_that_of_a_track(
    *, request, world, client, alice, studio, kind, side, text
):
    if kind == "comment":
        made, name = request.getfixturevalue("comment"), "text"
    else:
        made, name = save_bio(client, alice, "first"), "bio"
        world.deliver()
    edited_elsewhere(world, made, **{name: "theirs"})
    edit_comment(client, alice, made, "mine") if kind == "comment" else save_bio(client, alice, "mine")
    world.deliver()
    here = f"/studio/{kind}s/{made['id']}"
    assert f'href="{here}/pds">See both, and decide' in studio.get(here).text
    task = f'href="{here}">1 {kind} waits for your decision.</a>'
    assert [task in studio.get(each).text for each in ("/studio", "/studio/pds")] == [True, True]
    page = studio.get(f"{here}/pds")
    assert "You decide what stays" in page.text
    page = send(studio, page, f"{here}/decide", **{f"side.{name}": side})
    assert "Decided." in page.text
    world.deliver()
    assert world.pds.records[made["uri"]][name] == text
    assert task not in studio.get("/studio").text
    page = studio.get(f"{here}/pds").text
    assert "All three agree" in page
    assert "of another program" not in page
    assert kind == "profile" or "First Take (…" in page


def test_another_program_s_edit_of_the_list_of_likes_is_decided_as_that_of_a_list(
    world, client, alice, studio, track
):
    made = client.put("/me/likes/record", headers=alice.headers).json()
    world.deliver()
    edited_elsewhere(world, made, name="Loved")
    like(client, alice, track)
    make_due(world)
    world.carry()
    make_due(world)
    world.carry()
    world.deliver()
    here = f"/studio/liked/{made['id']}"
    task = f'href="{here}">1 list of likes waits for your decision.</a>'
    assert task in studio.get("/studio").text
    assert f'href="{here}/pds">See both, and decide' in studio.get(here).text
    page = studio.get(f"{here}/pds")
    page = send(studio, page, f"{here}/decide", **{"side.name": "theirs"})
    assert "Decided." in page.text
    world.deliver()
    record = world.pds.records[made["uri"]]
    assert (record["name"], len(record["items"])) == ("Loved", 1)
    assert "waits for your decision" not in studio.get("/studio").text


@pytest.mark.parametrize("kind", ["like", "comment"])
def test_a_record_that_another_program_deleted_is_written_again(
    *, request, world, client, alice, studio, track, kind
):
    made = like(client, alice, track).json() if kind == "like" else request.getfixturevalue("comment")
    world.deliver()
    del world.pds.records[made["uri"]]
    here = f"/studio/{kind}s/{made['id']}"
    page = studio.post(f"{here}/do/restore")
    assert "The record is written again." in page.text
    world.deliver()
    assert made["uri"] in world.pds.records


def test_a_like_has_its_state_and_history_and_what_it_has_not_is_not_offered(
    world, client, alice, studio, track
):
    made = like(client, alice, track).json()
    here = f"/studio/likes/{made['id']}"
    assert f'href="{here}"' in studio.get("/studio/likes").text
    page = studio.get(here)
    assert ">Like of First Take</h1>" in page.text
    assert f'href="/@bob.test/{track["id"]}">Public page' in page.text
    assert "liked a track" in page.text
    world.deliver()
    like(client, alice, track, "DELETE")
    world.deliver()
    page = studio.get(here)
    assert "Gone from your PDS" in page.text
    assert "took the like back" in page.text
    for each in (page, studio.get(f"{here}/history")):
        assert [form.action for form in forms_of(each) if form.action.startswith(here)] == []
        assert "/versions/" not in each.text
    assert studio.get(f"{here}/versions/1").status_code == 404
    assert studio.get("/studio/likes/1").status_code == 404


def test_the_page_of_another_account_s_comment_is_not_shown(sign_in, bob, comment):
    for page in ("", "/pds", "/history"):
        assert sign_in(bob).get(f"/studio/comments/{comment['id']}{page}").status_code == 403


def test_my_pds_says_how_far_the_profile_is_and_leads_to_its_page(client, alice, studio):
    made = save_bio(client, alice, "Plays records.")
    page = studio.get("/studio/pds").text
    assert f'href="/studio/profiles/{made["id"]}">a record of yours' in page
    assert ">Profile</h1>" in studio.get(f"/studio/profiles/{made['id']}").text


def test_comments_on_my_tracks_are_read_in_one_place_hidden_there_and_shown_again(
    *, monkeypatch, world, client, alice, sign_in, bob, track, comment
):
    second = upload(client, bob, title="Second Thoughts", seed=2)
    say(client, alice, second, text="And here")
    world.carry()
    owner = sign_in(bob)
    page = owner.get("/studio/comments")
    assert page.text.index("And here") < page.text.index("Yes!")
    assert f'href="/@bob.test/{track["id"]}#comment-{comment["id"]}">First Take' in page.text
    hide = f"/studio/comments/{comment['id']}/hidden"
    page = send(owner, page, hide)
    assert "Hidden by you" in page.text
    world.carry()
    page = send(owner, owner.get("/studio/comments"), hide)
    assert "Hidden by you" not in page.text
    monkeypatch.setattr("api.requests.parameters.DEFAULT_PAGE_LENGTH", 1)
    page = owner.get("/studio/comments")
    assert "Yes!" not in page.text
    older = page.text.partition('href="/studio/comments?cursor=')[2].partition('"')[0]
    assert "Yes!" in owner.get(f"/studio/comments?cursor={older}").text


def test_my_own_comments_are_listed_with_how_far_they_are(client, bob, studio, track, comment):
    assert "No comments yet" in studio.get("/studio/comments").text
    page = studio.get("/studio/comments?mine=true").text
    assert "On your PDS" in page
    assert f'href="/studio/comments/{comment["id"]}">Its record' in page
    client.delete(f"/tracks/{track['id']}", headers=bob.headers)
    assert "a track that is gone" in studio.get("/studio/comments?mine=true").text
