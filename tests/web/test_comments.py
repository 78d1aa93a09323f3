"""Comments at the page of a track, without scripts: who may say, edit, delete, hide and take down what."""

import pytest

from aggregates.reactions.comment import Comment
from aggregates.reactions.like import Like
from projections import outsiders
from tests.api.comments.test_comments import say, turn
from tests.api.world import upload
from tests.web.pages import assert_small
from tests.web.studio.forms import forms_of, send

HOSTILE = """</textarea><script>alert(1)</script> https://evil.example/"""


@pytest.fixture
def track(world, client, bob):
    turn(client, bob, True)
    made = upload(client, bob, title="First Take")
    world.deliver()
    return made


@pytest.fixture
def here(track):
    return f"/@bob.test/{track['id']}"


@pytest.fixture
def comment(world, client, alice, track):
    """Of alice's, on a track of bob's."""
    made = say(client, alice, track, timestamp_ms=67_500).json()
    world.carry()
    return made


def comments(client, person, track):
    answer = client.get(f"/tracks/{track['id']}/comments", headers=person.headers)
    return [(each["text"], each["timestamp_ms"]) for each in answer.json()["items"]]


def actions(page):
    return [form.action for form in forms_of(page) if "/comments" in form.action]


def test_a_comment_is_made_at_a_place_edited_and_deleted(*, world, client, alice, bob, studio, here, track):
    page = send(studio, studio.get(here), f"{here}/comments", text="Yes!\r\nThere.", place="1:07")
    assert page.url.path == here
    world.carry()
    assert comments(client, bob, track) == [("Yes!\nThere.", 67_000)]
    assert '#t=67">1:07</a>' in page.text
    assert_small(page)

    (edit, delete) = [each for each in actions(page) if each != f"{here}/comments"]
    page = send(studio, page, edit, text="No!")
    page = send(studio, page, edit, place="1:02:03")
    assert ", edited" in page.text
    assert comments(client, alice, track) == [("No!", 3_723_000)]
    page = send(studio, page, delete)
    assert "No comments yet." in page.text
    assert comments(client, alice, track) == []


def test_an_edit_of_the_text_alone_leaves_the_place_as_it_is(*, client, alice, studio, here, track, comment):
    send(studio, studio.get(here), f"{here}/comments/{comment['id']}/edit", text="No!")
    assert comments(client, alice, track) == [("No!", 67_500)]


def test_what_is_refused_is_still_in_the_form(*, client, alice, studio, here, track):
    for text, place, words in (
        ("Kept", "soon", "The place is minutes and seconds of the audio"),
        ("Kept", "9999:00:00", "The place is minutes and seconds of the audio"),
        ("Kept" + "ä" * 600, "0:01", "Nothing was changed."),
    ):
        page = send(studio, studio.get(here), f"{here}/comments", text=text, place=place)
        assert (page.status_code, 'role="alert"' in page.text, words in page.text) == (400, True, True)
        (form,) = [each for each in forms_of(page) if each.action == f"{here}/comments"]
        typed = {name: value for name, value in form.fields if name != "key"}
        assert typed == {"text": text, "place": place}
    assert comments(client, alice, track) == []


def test_an_edit_of_an_older_version_is_shown_beside_why_it_was_not_done(
    *, client, alice, studio, here, track, comment
):
    before, edit = studio.get(here), f"{here}/comments/{comment['id']}/edit"
    client.patch(f"/comments/{comment['id']}", json={"text": "Elsewhere"}, headers=alice.headers)
    page = send(studio, before, edit, text="Mine")
    assert (page.status_code, "it was changed in the meantime" in page.text) == (412, True)
    assert comments(client, alice, track) == [("Elsewhere", 67_500)]
    send(studio, page, edit)
    assert comments(client, alice, track) == [("Mine", 67_500)]


def test_visitors_read_comments_and_are_asked_to_sign_in(browser, here, comment):
    page = browser.get(here)
    assert "Yes!" in page.text
    assert 'href="/@alice.test">@alice.test</a>' in page.text
    assert f'href="/auth/login?return_to={here.replace("@", "%40")}">Sign in</a> to comment' in page.text
    assert actions(page) == []
    for action in ("", f"/{comment['id']}/delete", f"/{comment['id']}/hide"):
        assert browser.post(f"{here}/comments{action}", data={"text": "x", "place": "0"}).status_code == 401


def test_the_track_s_owner_hides_a_comment_and_shows_it_again(
    *, client, sign_in, alice, bob, here, track, comment
):
    owner, hide = sign_in(bob), f"{here}/comments/{comment['id']}/hide"
    page = owner.get(here)
    assert actions(page) == [f"{here}/comments", hide]
    page = send(owner, page, hide)
    assert "The comment is hidden" in page.text
    assert (comments(client, bob, track), len(comments(client, alice, track))) == ([], 1)
    assert "Hidden by Bob: only its author and operators see it" in sign_in(alice).get(here).text
    page = send(sign_in(bob), page, f"{here}/comments/{comment['id']}/show")
    assert len(comments(client, bob, track)) == 1


def test_nobody_else_changes_a_comment(*, world, client, sign_in, bob, here, track, comment):
    carol = sign_in(world.sign_in("carol"))
    assert actions(carol.get(here)) == [f"{here}/comments"]
    for action in ("edit", "delete", "hide"):
        answer = carol.post(f"{here}/comments/{comment['id']}/{action}", data={"text": "x"})
        assert answer.status_code == 403
    assert carol.post(f"{here}/comments/{comment['id']}/other").status_code == 404
    assert comments(client, bob, track) == [("Yes!", 67_500)]


def test_where_comments_are_off_there_is_no_form_and_an_author_sees_the_own_ones(
    *, client, studio, bob, here, track, comment
):
    turn(client, bob, False, track)
    page = studio.get(here)
    assert "Comments are off: others do not see these." in page.text
    assert actions(page) == [f"{here}/comments/{comment['id']}/{do}" for do in ("edit", "delete")]
    studio.cookies.clear()
    assert 'id="comments"' not in studio.get(here).text


def test_a_comment_runs_nothing_and_its_links_are_not_followed_for_us(
    *, world, client, alice, track, here, browser
):
    say(client, alice, track, text=HOSTILE)
    world.carry()
    page = browser.get(here)
    assert 'rel="nofollow ugc noopener">https://evil.example/' in page.text


def test_more_comments_than_a_page_has_follow_on_the_next(
    *, monkeypatch, world, client, alice, track, here, browser
):
    monkeypatch.setattr("api.requests.parameters.DEFAULT_PAGE_LENGTH", 1)
    for text in ("Older words", "Newer words"):
        say(client, alice, track, text=text)
    world.carry()
    page = browser.get(here).text
    assert "Newer words" in page
    assert "Older words" not in page
    earlier = page.partition(f'href="{here}?cursor=')[2].partition("#")[0]
    assert "Older words" in browser.get(f"{here}?cursor={earlier}").text


def test_an_operator_takes_a_comment_down_and_lifts_that_in_the_console(
    *, client, admin, bob, track, comment
):
    here, takedown = f"/ops/tracks/{track['id']}/comments", f"/ops/comments/{comment['id']}/takedown"
    assert f'href="{here}"' in admin.get(f"/ops/tracks/{track['id']}").text
    page = admin.get(here)
    asked = send(admin, page, takedown)
    assert "Take down comment" in asked.text
    page = send(admin, asked, takedown, reason="a threat")
    assert page.url.path == here
    assert "Why: a threat" in page.text
    assert comments(client, bob, track) == []
    assert f"comment {comment['id']}" in admin.get("/ops/audit").text
    send(admin, send(admin, page, takedown), takedown, reason="it was none")
    assert len(comments(client, bob, track)) == 1
    away = admin.post(takedown, data={"lift": "false", "reason": "r", "back": "https://evil.example"})
    assert away.url.path == "/ops"


def test_an_operator_takes_down_what_one_says_who_is_not_here_and_lifts_that(world, admin, bob, track):
    said = {"kind": Comment.TOPIC, "track_id": track["id"], "text": "Outside", "timestamp_ms": 1}
    of = {"author": "did:plc:outsider", "host": "h", "collection": "c", "rkey": "1", "created_at": "2026"}
    with world.database.write() as connection:
        row = {"did": bob.did, **said, **of, "shown_at": world.now()}
        outsiders.put(connection, row, max_comments=1, max_of_host=2)
        outsiders.put(connection, {**row, "kind": Like.TOPIC, "rkey": "2"}, max_comments=1, max_of_host=2)
    for screen in ("comments", "likes"):
        here = f"/ops/tracks/{track['id']}/{screen}"
        assert f'href="{here}"' in admin.get(f"/ops/tracks/{track['id']}").text
        page = admin.get(here)
        [takedown] = [form.action for form in forms_of(page) if form.action.endswith("/takedown")]
        page = send(admin, send(admin, page, takedown), takedown, reason="a threat")
        assert "Why: a threat" in page.text
        page = send(admin, send(admin, page, takedown), takedown, reason="it was none")
        assert "Why: a threat" not in page.text


def test_an_artist_turns_comments_on_for_one_track_or_all_in_the_studio(client, studio, alice):
    track = upload(client, alice)
    here = f"/studio/tracks/{track['id']}"

    def is_on():
        return client.get(f"/tracks/{track['id']}").json()["comments"]

    page = send(studio, studio.get(here), f"{here}/do/comments-on")
    assert is_on()
    page = send(studio, page, f"{here}/do/comments-off")
    assert "Comments on it are off." in page.text
    account = send(studio, studio.get("/studio/pds"), "/studio/pds/comments")
    assert "Saved." in account.text
    assert not is_on()
    page = send(studio, page, f"{here}/do/comments-as-all")
    assert is_on()
    assert "People may comment on it." in page.text
    send(studio, account, "/studio/pds/comments")
    assert not is_on()
