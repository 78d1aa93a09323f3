"""Comments and the picture of a profile in Chromium, on the real service and a real PDS."""

import pytest
from playwright.sync_api import expect

from demo.media import cover
from tests.e2e.conftest import ONE_DATABASE
from tests.e2e.pages.browser_checks import assert_good_in_every_view, silent_console
from tests.e2e.pages.keyboard import presses, tabs_to
from tests.e2e.sign_in_pages import are_signed_in
from tests.waits import until

pytestmark = [pytest.mark.pds, pytest.mark.browser, ONE_DATABASE]


@pytest.fixture
def here(service, artist):
    """The page of a track on which people may comment."""
    artist.client.http.patch("/me", json={"comments": True}).raise_for_status()
    track = artist.uploads(title="First Take")
    artist.agreed()
    return f"{service.url}/@{artist.did}/{track['id']}"


def comments(person, here):
    path = f"/tracks/{here.rsplit('/', 1)[1]}/comments"
    return person.client.http.get(path).json()["items"]


def record(person, comment):
    repo, collection, rkey = comment["uri"].removeprefix("at://").split("/")
    found = person.pds.get_record(repo, collection, rkey)
    return found and (found["value"]["text"], found["value"]["timestampMs"])


def test_a_comment_takes_its_place_from_the_player_and_is_edited_hidden_and_deleted(
    *, page, service, artist, listener, here
):
    are_signed_in(page.context, service.url, listener.client)
    with silent_console(page):
        page.goto(here)
        assert_good_in_every_view(page, "track-no-comments")
        page.locator("main audio").evaluate("audio => { audio.muted = true; audio.currentTime = 1.5; }")
        expect(page.locator("[data-follows-player] [name=place]")).to_have_value("0:01")
        tabs_to(page, page.get_by_label("Your comment", exact=True))
        page.keyboard.type("Listen to https://example.com")
        presses(page, "Comment", exact=True)
        expect(page.locator("#comments ~ ol")).to_contain_text("Listen to https://example.com")
        [comment] = comments(listener, here)
        until(lambda: record(listener, comment) == ("Listen to https://example.com", 1000))

        page.locator("summary", has_text="Edit").click()
        edit = page.get_by_role("form", name="Edit your comment at 0:01")
        edit.get_by_label("Your comment").fill("Listen")
        assert_good_in_every_view(page, "track-comment-edited")
        edit.get_by_role("button", name="Save").click()
        expect(page.get_by_text(", edited")).to_be_visible()
        until(lambda: record(listener, comment) == ("Listen", 1000))
        page.goto(f"{service.url}/studio/comments?mine=true")
        assert_good_in_every_view(page, "studio-my-comments")

        until(lambda: len(comments(artist, here)) == 1)
        page.context.clear_cookies()
        are_signed_in(page.context, service.url, artist.client)
        page.goto(here)
        page.get_by_role("button", name="Hide").click()
        expect(page.get_by_role("status")).to_contain_text("The comment is hidden")
        assert_good_in_every_view(page, "track-comment-hidden")
        assert comments(artist, here) == []
        page.goto(f"{service.url}/studio/comments")
        assert_good_in_every_view(page, "studio-comments")
        page.get_by_role("button", name="Show it again").click()
        until(lambda: len(comments(artist, here)) == 1)

        page.context.clear_cookies()
        are_signed_in(page.context, service.url, listener.client)
        page.goto(here)
        page.get_by_role("button", name="Delete").click()
        expect(page.get_by_text("No comments yet.")).to_be_visible()
        until(lambda: record(listener, comment) is None)


def test_an_artist_sets_a_picture_and_turns_comments_off(seated, service, artist, here):
    page = seated
    page.goto(f"{service.url}/studio/pds")
    picture = {"name": "me.png", "mimeType": "image/png", "buffer": cover("teal", "gold")}
    page.get_by_label("A picture of you").set_input_files(picture)
    page.get_by_role("button", name="Set the picture").click()
    expect(page.get_by_alt_text("Your picture")).to_be_visible()
    assert_good_in_every_view(page, "pds-picture")
    page.get_by_role("button", name="Turn comments off").click()
    expect(page.get_by_role("button", name="Turn comments on")).to_be_visible()
    page.goto(f"{service.url}/@{artist.did}")
    assert page.locator(".portrait").evaluate("image => image.decode().then(() => image.naturalWidth)")
    assert_good_in_every_view(page, "artist-with-picture")
    page.goto(f"{service.url}/studio/tracks/{here.rsplit('/', 1)[1]}")
    page.get_by_role("button", name="Turn comments on").click()
    expect(page.get_by_text("People may comment on it.")).to_be_visible()
    assert_good_in_every_view(page, "studio-track-with-comments")
