"""Many tracks edited in a table, in Chromium."""

from contextlib import closing

import pytest
from playwright.sync_api import expect

from tests.e2e.artist import Artist
from tests.e2e.conftest import ONE_DATABASE
from tests.e2e.pages.browser_checks import assert_good_in_every_view, silent_console
from tests.e2e.sign_in_pages import authorizes, signs_in
from tests.media_samples import samples

pytestmark = [pytest.mark.pds, pytest.mark.browser, ONE_DATABASE]


def test_selected_tracks_are_edited_saved_and_undone_in_one_table(page, service, pds, pds_account):
    signs_in(page, service.url, pds_account)
    authorizes(page)
    page.wait_for_url(f"{service.url}/studio")
    artist = Artist(service, pds, pds_account)
    with closing(artist.client.http), silent_console(page):
        for number in (1, 2, 3):
            artist.client.upload(samples.mp3(number), name="tone.mp3", title=f"Song {number}")
        page.goto(f"{service.url}/studio")
        for number in (1, 3):
            page.get_by_label(f"Select Song {number}").check()
        page.get_by_role("button", name="Edit in a table").click()
        expect(page.get_by_role("heading", name="Edit 2 tracks")).to_be_visible()
        page.get_by_label("Album of all").fill("Night Tapes")
        page.get_by_label("Title of Song 3").fill("")
        page.get_by_role("button", name="Save all").click()
        expect(page.get_by_text("Nothing was saved. One track cannot be")).to_be_visible()
        assert_good_in_every_view(page, "table-refused")
        page.get_by_label("Title of Song 3").fill("Song Three")
        page.get_by_role("button", name="Save all").click()
        expect(page.get_by_text("Saved: 2 tracks.")).to_be_visible()
        expect(page.get_by_label("Album of Song 1")).to_have_value("Night Tapes")
        assert_good_in_every_view(page, "table-saved")
        page.get_by_role("button", name="Undo").click()
        expect(page.get_by_text("Undone: 2 tracks are as before.")).to_be_visible()
        expect(page.get_by_label("Album of Song 1")).to_have_value("")
