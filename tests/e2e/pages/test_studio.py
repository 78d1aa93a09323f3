"""The studio in Chromium, on the real service and a real PDS."""

from contextlib import closing

import pytest
from playwright.sync_api import expect

from demo.media import cover
from demo.story import COLLECTION
from tests.e2e.artist import Artist
from tests.e2e.conftest import ONE_DATABASE
from tests.e2e.eventually import eventually
from tests.e2e.pages.browser_checks import assert_good_in_every_view, silent_console
from tests.e2e.sign_in_pages import authorizes, signs_in
from tests.media_samples import samples

pytestmark = [pytest.mark.pds, pytest.mark.browser, ONE_DATABASE]

HEARD = "audio => audio.play().then(() => new Promise(done => audio.ontimeupdate = () => audio.currentTime > 0 && done(true)))"


@pytest.fixture
def signed_in(page, service, pds, pds_account):
    """A person at the studio, and the same person as a program."""
    signs_in(page, service.url, pds_account)
    authorizes(page)
    page.wait_for_url(f"{service.url}/studio")
    artist = Artist(service, pds, pds_account)
    with closing(artist.client.http):
        yield page, artist


def edits_elsewhere(artist, **fields):
    """Another program of the artist changes the record at the PDS."""
    artist.pds.put_record(artist.did, COLLECTION, artist.rkey, {**(artist.record or {}), **fields})


def another(page, **options):
    """Another window of the same person."""
    return page.context.browser.new_context(storage_state=page.context.storage_state(), **options).new_page()


def file(name, content):
    return {"name": name, "mimeType": "audio/wav", "buffer": content}


def test_a_track_from_the_upload_through_edits_to_its_earlier_audio_and_back(signed_in, service):
    page, artist = signed_in
    with silent_console(page):
        assert_good_in_every_view(page, "studio-empty")
        page.get_by_role("link", name="Upload a track").click()
        assert_good_in_every_view(page, "studio-upload")
        page.set_input_files("#files", [file("First_Take.wav", samples.wav(1)), file("words.wav", b"words")])
        expect(page.get_by_text("Uploaded, and on its way")).to_be_visible()
        expect(page.get_by_role("alert")).to_be_visible()
        assert_good_in_every_view(page, "studio-uploaded")

        page.get_by_role("link", name="Edit title").click()
        artist.track_id = int(page.url.rsplit("/", 1)[1])
        here = f"{service.url}/studio/tracks/{artist.track_id}"
        page.get_by_label("Title").fill("Second Thoughts")
        page.get_by_label("Liner notes").fill("Recorded in one go.\nMixed twice.")
        page.get_by_role("button", name="Save").click()
        expect(page.locator("#done")).to_contain_text("Saved. Your PDS has it as it is here.")

        artist.edits(album="By a program")
        expect(page.locator("#timeline")).to_contain_text("By a program")
        expect(page.get_by_label("Album")).to_have_value("By a program")
        expect(page.locator("#standing")).to_contain_text("On your PDS")
        assert page.url.startswith(here)
        assert_good_in_every_view(page, "studio-track")

        page.set_input_files("input[name=image]", file("cover.png", cover("teal", "gold")))
        page.get_by_role("button", name="Set the cover").click()
        expect(page.locator("#done")).to_contain_text("The cover is set.")
        page.set_input_files("input[name=file]", file("b.wav", samples.wav(2)))
        page.get_by_role("button", name="Replace the audio").click()
        expect(page.locator("#done")).to_contain_text("The audio is replaced.")
        page.goto(f"{here}/history")
        assert_good_in_every_view(page, "studio-history")
        page.get_by_label("Earlier version").fill("1")
        page.get_by_role("button", name="Compare").click()
        expect(page.get_by_role("cell", name="Second Thoughts")).to_be_visible()
        assert_good_in_every_view(page, "studio-compare")

        page.goto(f"{here}/versions/1")
        assert page.locator("audio").evaluate(HEARD)
        assert_good_in_every_view(page, "studio-version")
        page.get_by_label("Put back Title").check()
        page.get_by_role("button", name="Put the ticked fields back").click()
        expect(page.locator("#done")).to_contain_text("Put back. Your PDS has it as it is here.")
        expect(page.get_by_label("Title")).to_have_value("First Take")
        expect(page.get_by_label("Liner notes")).to_have_value("Recorded in one go.\nMixed twice.")
        page.goto(f"{service.url}/studio")
        assert_good_in_every_view(page, "studio-full")


def test_tracks_are_copied_after_they_were_counted_and_one_is_deleted_and_brought_back(page, service, artist):
    for title in ("First Take", "Second Thoughts", "Third Floor"):
        artist.uploads(title=title, album="Pressings")
    artist.agreed()
    page.context.add_cookies(
        [{"name": "mastertape_session", "value": artist.client.token, "url": service.url}]
    )
    with silent_console(page):
        page.goto(f"{service.url}/studio")
        for title in ("First Take", "Third Floor"):
            page.get_by_label(f"Select {title}").check()
        page.get_by_role("button", name="Copy audio to my PDS").click()
        expect(page.get_by_role("heading", name="Copy 2 tracks")).to_be_visible()
        assert_good_in_every_view(page, "studio-selection")
        page.get_by_role("button", name="Copy them").click()
        expect(page.get_by_role("heading", name="2 of 2 on your PDS")).to_be_visible()
        assert_good_in_every_view(page, "studio-copies")
        page.goto(f"{service.url}/studio/tracks/{artist.track_id}")
        page.get_by_text("Delete this track…").click()
        page.get_by_role("button", name="Delete the track").click()
        expect(page.locator("#standing")).to_contain_text("Gone from your PDS")
        assert_good_in_every_view(page, "studio-deleted")
        page.get_by_role("button", name="Bring it back").click()
        expect(page.locator("#done")).to_contain_text("The track is back. Your PDS has it as it is here.")


def test_a_change_by_another_program_is_told_live_and_decided_field_by_field(signed_in, service):
    page, artist = signed_in
    artist.uploads(title="Mine", album="My album")
    artist.agreed()
    with silent_console(page):
        listed = another(page)
        page.goto(f"{service.url}/studio/tracks/{artist.track_id}")
        edits_elsewhere(artist, title="Theirs", album="Their album")
        artist.edits(description="Typed here.")
        expect(page.locator("#standing")).to_contain_text("Another program changed this record")
        assert_good_in_every_view(page, "studio-held")
        listed.goto(f"{service.url}/studio?mark=held")
        mark = listed.locator(f"#mark-{artist.track_id}")
        expect(mark).to_contain_text("Held")
        page.get_by_role("link", name="See both, and decide").click()
        assert_good_in_every_view(page, "studio-decide")
        page.get_by_role("group", name="Title").get_by_label("Theirs").check()
        page.get_by_role("group", name="Album").get_by_label("Mine").check()
        page.get_by_role("button", name="Keep what I chose").click()
        expect(page.locator("#done")).to_contain_text("Decided. Your PDS has it as it is here.")
        expect(mark).to_contain_text("On your PDS")  # which the page behind that filter lists no more
        page.get_by_role("link", name="Compare with my PDS").click()
        expect(page.get_by_role("heading", name="All three agree")).to_be_visible()
        assert_good_in_every_view(page, "studio-agrees")
    assert (artist.record["title"], artist.record["album"]) == ("Theirs", "My album")


def test_without_scripts_a_track_is_edited_a_conflict_decided_and_the_pds_disconnected(signed_in, service):
    page, artist = signed_in
    artist.uploads(title="Mine", album="My album")
    artist.agreed()
    plain = another(page, java_script_enabled=False)
    here = f"{service.url}/studio/tracks/{artist.track_id}"
    plain.goto(here)
    plain.get_by_label("Title").fill("By hand")
    plain.get_by_role("button", name="Save").click()
    expect(plain.locator("#done")).to_contain_text("Saved. Your PDS has it as it is here.")
    plain.locator("#v2").get_by_role("button", name="Undo this change").click()
    expect(plain.locator("#done")).to_contain_text("The change is undone. Your PDS has it as it is here.")
    expect(plain.get_by_label("Title")).to_have_value("Mine")
    edits_elsewhere(artist, title="Theirs")
    artist.edits(album="Other album")
    eventually(lambda: artist.mirror["state"] == "held")
    plain.goto(f"{here}/pds")
    plain.get_by_role("button", name="Take theirs").click()
    expect(plain.locator("#done")).to_contain_text("Decided. Your PDS has it as it is here.")
    assert artist.record["title"] == "Theirs"
    assert artist.record["album"] == "Other album"

    plain.goto(f"{service.url}/studio/pds")
    plain.get_by_role("link", name="Disconnect…").click()
    plain.get_by_role("button", name="Disconnect").click()
    expect(plain.get_by_text("mastertape no longer has access to your PDS")).to_be_visible()
    artist.edits(title="Kept here")
    with silent_console(page):
        for name, path in {"studio-waiting": "/studio", "pds-signed-out": "/studio/pds"}.items():
            page.goto(service.url + path)
            expect(page.get_by_text("You have to sign in again.").first).to_be_visible()
            assert_good_in_every_view(page, name)
        page.goto(f"{service.url}/studio/pds/disconnect")
        assert_good_in_every_view(page, "pds-disconnect")
