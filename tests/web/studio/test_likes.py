"""Likes: the button at a track, the list of one's own, and the way to a consent that is missing."""

import pytest
from sqlalchemy import update

from outbox.mirror.tables import mirror_target
from tests.api.auth.fake_oauth import CONSENT, FakeOAuth
from tests.api.lists.requests import create
from tests.api.world import upload
from tests.web.pages import assert_small, seated
from tests.web.studio.forms import form_to, send

WORDS = "Your login does not allow records of this kind yet: sign in again to allow them."


@pytest.fixture
def track(world, client, bob):
    made = upload(client, bob, title="First Take")
    world.deliver()
    return made


@pytest.fixture
def page_of_track(track):
    return f"/@bob.test/{track['id']}"


def parks(world, kind):
    """The PDS has refused records of this kind, for lack of consent."""
    refused = {"state": "rejected", "reason": "needs_consent", "failed_gen": mirror_target.c.desired_gen}
    with world.database.write() as connection:
        connection.execute(update(mirror_target).where(mirror_target.c.kind == kind).values(**refused))


def test_a_like_is_given_counted_at_once_listed_and_taken_back(world, studio, page_of_track):
    page = studio.get(page_of_track)
    assert ">Like</button>" in page.text
    page = send(studio, page, f"{page_of_track}/like")
    assert page.url.path == page_of_track
    assert ">Liked<" in page.text
    assert "1 like<" in page.text
    world.deliver()
    mine = studio.get("/studio/likes")
    assert_small(mine)
    assert "First Take" in mine.text
    assert "On your PDS" in mine.text
    page = send(studio, mine, f"{page_of_track}/like")
    assert page.url.path == "/studio/likes"
    assert "No likes yet" in page.text
    assert ">Like</button>" in studio.get(page_of_track).text


def test_who_is_not_signed_in_sees_the_count_and_no_button(browser, client, alice, track, page_of_track):
    client.put(f"/tracks/{track['id']}/like", headers=alice.headers)
    page = browser.get(page_of_track).text
    assert "/like" not in page
    answer = browser.post(f"{page_of_track}/like")
    assert answer.status_code == 401


def test_a_service_that_asks_for_no_likes_shows_no_button(world, alice, page_of_track):
    browser = seated(world.serve(offers=lambda collection: not collection.endswith("like")), alice)
    assert "/like" not in browser.get(page_of_track).text


def test_a_liked_track_that_is_gone_stays_in_the_list_without_its_title(
    client, bob, studio, track, page_of_track
):
    send(studio, studio.get(page_of_track), f"{page_of_track}/like")
    client.delete(f"/tracks/{track['id']}", headers=bob.headers)
    page = studio.get("/studio/likes").text
    assert "A track that is gone" in page
    assert "First Take" not in page


@pytest.fixture
def consenting(world, alice):
    """A browser of hers, where sign-ins lead to a PDS."""
    oauth = FakeOAuth(world)
    return seated(world.serve(oauth=oauth), alice), oauth


def test_what_waits_for_consent_says_so_once_and_its_button_signs_the_same_account_in_again(
    world, client, alice, track, consenting
):
    client.put(f"/tracks/{track['id']}/like", headers=alice.headers)
    made = create(client, alice, title="Pressings")
    parks(world, "like")
    parks(world, "list")
    client, oauth = consenting
    for path in ("/studio/likes", "/studio/albums", f"/studio/albums/{made['id']}", "/studio/pds"):
        page = client.get(path)
        assert WORDS in page.text, path
        form = form_to(page, "/accounts/consent")
        assert ("return_to", path) in form.fields
    onward = send(client, page, "/accounts/consent")
    assert onward.status_code == 200
    assert CONSENT in onward.text
    assert oauth.asked == [(alice.did, "/studio/pds")]
    assert "mastertape_sign_in_" in onward.headers["set-cookie"]


def test_another_site_cannot_start_it(consenting):
    client, oauth = consenting
    answer = client.post("/accounts/consent", data={}, headers={"Origin": "https://evil.example"})
    assert (answer.status_code, oauth.asked) == (403, [])


def test_it_leads_back_to_a_page_of_ours_alone(consenting):
    client, oauth = consenting
    for return_to in ("https://evil.example", "//evil.example", "/\\evil.example"):
        answer = client.post(
            "/accounts/consent", data={"return_to": return_to}, headers={"Origin": "http://127.0.0.1:8000"}
        )
        assert (answer.status_code, oauth.asked) == (400, []), return_to
