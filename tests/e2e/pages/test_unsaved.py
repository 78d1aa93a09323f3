"""What a person types and does not save is not lost, in Chromium on the real service and PDS."""

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import ONE_DATABASE
from tests.e2e.pages.browser_checks import assert_good_in_every_view, silent_console
from tests.e2e.sign_in_pages import are_signed_in
from tests.waits import until

pytestmark = [pytest.mark.pds, pytest.mark.browser, ONE_DATABASE]

BACK = "What you typed here before is back"
KEPT = "Object.keys(localStorage).filter(name => name.startsWith('mastertape.typed'))"


@pytest.fixture
def here(page, service, artist):
    artist.uploads(title="First Take", description="Notes.")
    artist.agreed()
    are_signed_in(page.context, service.url, artist.client)
    page.goto(f"{service.url}/studio/tracks/{artist.track_id}")
    return page.url


def types_notes(page):
    notes = page.get_by_label("Liner notes")
    notes.click()
    page.keyboard.type("Typed for an hour. ")
    return notes


def leaves(page, asked):
    """Follow a link, and go on although the browser asks."""
    page.once("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.get_by_role("link", name="My tracks").first.click()
    page.wait_for_url("**/studio")


def test_text_is_warned_about_when_it_is_left_and_back_when_its_page_is_open_again(page, artist, here):
    asked = []
    with silent_console(page):
        types_notes(page)
        leaves(page, asked)
        assert asked == ["beforeunload"]
        page.goto(here)
        notes = page.get_by_label("Liner notes")
        expect(page.get_by_text(BACK)).to_be_visible()
        assert "Typed for an hour." in notes.input_value()
        assert_good_in_every_view(page, "studio-typed-before")
        page.get_by_role("button", name="Save").click()
        expect(page.locator("#done")).to_contain_text("Saved.")
        assert page.evaluate(KEPT) == []
        page.goto(here)
        expect(page.get_by_text(BACK)).to_have_count(0)
        types_notes(page)
        leaves(page, asked)
        page.goto(here)
        page.get_by_role("button", name="Drop it").click()
        expect(page.get_by_text(BACK)).to_have_count(0)
        assert page.evaluate(KEPT) == []
        leaves(page, [])
    assert asked == ["beforeunload"] * 2
    assert "Typed for an hour." in artist.client.track(artist.track_id)["description"]


def test_text_that_comes_back_overwrites_nothing_that_was_saved_meanwhile(page, artist, here):
    types_notes(page)
    leaves(page, [])
    artist.edits(title="By a program", description="By a program.")
    page.goto(here)
    expect(page.get_by_text(BACK)).to_be_visible()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert").first).to_contain_text("Not done yet: it was changed in the meantime.")
    assert artist.client.track(artist.track_id)["description"] == "By a program."
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#done")).to_contain_text("Saved.")
    track = artist.client.track(artist.track_id)
    assert "Typed for an hour." in track["description"]
    assert track["title"] == "By a program"


@pytest.mark.usefixtures("here")
def test_a_row_of_the_table_that_comes_back_overwrites_nothing_that_was_saved_meanwhile(
    page, service, artist
):
    table = f"{service.url}/studio/table?id={artist.track_id}"
    page.goto(table)
    page.get_by_label("Album of First Take").fill("Mine")
    leaves(page, [])
    artist.edits(album="By a program")
    page.goto(table)
    expect(page.get_by_text(BACK)).to_be_visible()
    expect(page.get_by_label("Album of First Take")).to_have_value("Mine")
    page.get_by_role("button", name="Save all").click()
    expect(page.get_by_text("Meanwhile its album was saved as “By a program”")).to_be_visible()
    assert artist.client.track(artist.track_id)["album"] == "By a program"


def test_text_stays_when_the_service_is_not_reached_or_refuses_it(page, here):
    page.get_by_label("Album").fill("Kept")
    page.context.set_offline(True)
    page.get_by_role("button", name="Save").click()
    page.context.set_offline(False)
    page.goto(here)
    expect(page.get_by_label("Album")).to_have_value("Kept")
    expect(page.get_by_text(BACK)).to_be_visible()
    page.get_by_label("Title").fill("")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_be_visible()
    asked = []
    leaves(page, asked)
    assert asked == ["beforeunload"]
    page.goto(here)
    expect(page.get_by_label("Album")).to_have_value("Kept")


def test_a_page_after_a_refusal_and_its_title_follow_what_changes_elsewhere(page, artist, here):
    page.set_input_files("input[name=image]", {"name": "a.txt", "mimeType": "text/plain", "buffer": b"words"})
    page.get_by_role("button", name="Set the cover").click()
    expect(page.get_by_role("alert").first).to_be_visible()
    assert page.url != here
    artist.edits(title="Halfway")
    expect(page.get_by_role("heading", level=1)).to_have_text("Halfway")
    expect(page.locator("#crumbs")).to_contain_text("Halfway")
    until(lambda: page.title() == "Halfway · mastertape")


def test_a_sign_in_shows_that_it_waits(page, service):
    page.goto(f"{service.url}/auth/login")
    page.evaluate("addEventListener('submit', event => event.preventDefault())")
    page.get_by_label("Handle or DID").fill("nobody.test")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("Asking the PDS of this account, for 10 seconds at most.")).to_be_visible()
    expect(page.get_by_role("button", name="Sign in")).to_have_attribute("aria-busy", "true")
