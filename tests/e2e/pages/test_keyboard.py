"""The pages with the keyboard alone, in Chromium on the real service and PDS: the focus is always seen, and never lost."""

import pytest
from playwright.sync_api import expect

from tests.e2e.conftest import ONE_DATABASE
from tests.e2e.pages.browser_checks import assert_good_in_every_view, silent_console
from tests.e2e.pages.keyboard import assert_shows_the_focus, follows, presses, tabs_to
from tests.e2e.sign_in_pages import are_signed_in

pytestmark = [pytest.mark.pds, pytest.mark.browser, ONE_DATABASE]


def test_with_the_keyboard_alone_a_track_is_edited_and_a_conflict_decided(seated, service, artist):
    page = seated
    artist.uploads(title="Mine", album="My album")
    artist.agreed()
    page.goto(f"{service.url}/studio")
    follows(page, "Mine", exact=True)
    tabs_to(page, page.get_by_label("Title"))
    page.keyboard.press("Control+A")
    page.keyboard.type("Still mine")
    artist.edits(tags=["live"])
    expect(page.locator("#timeline")).to_contain_text("live")
    expect(page.get_by_label("Title")).to_be_focused()
    presses(page, "Save")
    is_told(page, "Not done yet: it was changed in the meantime.", page.get_by_role("alert"))
    expect(page.get_by_label("Title")).to_have_value("Still mine")
    presses(page, "Save")
    is_told(page, "Saved. Your PDS has it as it is here.")
    artist.edits_elsewhere(title="Theirs", album="Their album")
    artist.edits(description="Typed elsewhere.")
    is_told(page, "Saved. Another program changed this record on your PDS.")

    follows(page, "See both, and decide")
    tabs_to(page, page.get_by_role("group", name="Title").get_by_label("Mine"))
    page.keyboard.press("ArrowDown")
    tabs_to(page, page.get_by_role("group", name="Album").get_by_label("Mine"))
    page.keyboard.press("Space")
    presses(page, "Keep what I chose")
    is_told(page, "Decided. Your PDS has it as it is here.")
    compare = page.get_by_role("link", name="Compare with my PDS")
    tabs_to(page, compare)
    artist.edits(album="By a program")
    expect(page.locator("#timeline")).to_contain_text("By a program")
    expect(compare).to_be_focused()
    assert (artist.record["title"], artist.record["album"]) == ("Theirs", "By a program")


def test_tracks_are_selected_with_the_keyboard_alone_and_none_in_focus_is_covered(seated, service, artist):
    page = seated
    for title in ("Fifth", "Fourth", "Third", "Second", "First"):
        artist.uploads(title=title)
    artist.agreed()
    page.set_viewport_size({"width": 390, "height": 480})
    page.goto(f"{service.url}/studio")
    tabs_to(page, page.get_by_label("Select First"))
    page.keyboard.press("Space")
    expect(page.get_by_text("1 track selected")).to_be_visible()
    tabs_to(page, page.get_by_label("Select Fifth"))
    page.keyboard.press("Space")
    presses(page, "Compare with my PDS")
    expect(page.get_by_role("heading", name="Compare 2 tracks")).to_be_visible()


def is_told(page, words, notice=None):
    """What came of it has the focus, from where Tab goes on into the page."""
    told = notice or page.locator("#done")
    expect(told).to_contain_text(words)
    expect(told).to_be_focused()
    assert_shows_the_focus(page)


def test_the_account_menu_is_good_in_every_view_and_used_with_the_keyboard(page, service, new_artist, pds):
    handles = are_signed_in(page.context, service.url, new_artist(pds).client, new_artist(pds).client)
    with silent_console(page):
        page.goto(f"{service.url}/tags/none")
        menu, handle = page.locator(".menu-body"), page.locator(".menu summary")
        tabs_to(page, handle)
        page.keyboard.press("Enter")
        expect(menu).to_be_visible()
        assert_good_in_every_view(page, "account-menu")
        tabs_to(page, page.get_by_role("button", name=f"Switch to @{handles[1]}"))
        page.keyboard.press("Escape")
        expect(menu).to_be_hidden()
        expect(handle).to_be_focused()
        page.keyboard.press("Enter")
        tabs_to(page, page.get_by_role("link", name="API"))
        expect(menu).to_be_hidden()
