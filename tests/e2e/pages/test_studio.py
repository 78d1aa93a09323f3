"""The studio in Chromium, on the real service and a real PDS."""

import pytest
from playwright.sync_api import expect

from demo.media import cover
from tests.e2e.conftest import ONE_DATABASE
from tests.e2e.pages.browser_acts import another, drops
from tests.e2e.pages.browser_checks import (
    assert_good_in_every_view,
    can_be_hidden,
    hides,
    shows,
)
from tests.e2e.pages.keyboard import assert_shows_the_focus
from tests.media_samples import samples
from tests.waits import until
from web.pages.studio import history

pytestmark = [pytest.mark.pds, pytest.mark.browser, ONE_DATABASE]

HEARD = "audio => audio.play().then(() => new Promise(done => audio.ontimeupdate = () => audio.currentTime > 0 && done(true)))"
LISTENS = """
window.told = [];
new MutationObserver(() => {
  const line = document.querySelector("#uploads > li");
  window.told.push([line.querySelector(".mark").textContent, line.querySelector("progress")?.value ?? 1]);
}).observe(document.getElementById("uploads"), {childList: true, characterData: true, subtree: true});
"""
UPLINK = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 200_000}
"""Bytes per second."""


def file(name, content):
    return {"name": name, "mimeType": "audio/wav", "buffer": content}


def uploads_over_a_slow_line(page, name, content):
    """Drop a file on the page; gives what the page said one after the other, and how far its bar was."""
    line = page.context.new_cdp_session(page)
    line.send("Network.enable")
    line.send("Network.emulateNetworkConditions", UPLINK)
    page.evaluate(LISTENS)
    drops(page, "#drop", (name, content))
    expect(page.get_by_text("Uploaded", exact=True)).to_be_visible(timeout=30_000)
    line.detach()
    return page.evaluate("window.told")


def assert_tells_each_step(told):
    steps = ["Sent" if words.endswith("MB sent") else words.split(":")[0] for words, _ in told]
    assert list(dict.fromkeys(steps)) == [
        "Waiting for its turn",
        "Sent",
        "Checking",
        "Uploaded",
    ]
    shares = [share for step, (_, share) in zip(steps, told, strict=True) if step == "Sent"]
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1]


def assert_counts_what_is_typed(page):
    title, tags = page.get_by_label("Title"), page.get_by_label("Tags")
    title.fill("Fünf")
    expect(page.locator("#about-title .count")).to_have_text("5 of 256 bytes")
    title.fill("ü" * 129)
    expect(page.locator("#about-title .count.over")).to_have_text("258 of 256 bytes")
    assert title.evaluate("field => field.validationMessage") == "Too long: 258 of 256 bytes."
    tags.fill(f"live, {'x' * 51}")
    expect(page.locator("#about-tags .count.over")).to_have_text("at most 50 characters each")
    tags.fill("live, late")
    expect(page.locator("#about-tags .count")).to_have_text("2 of 10")
    tags.fill("")


def assert_draws_the_wave(page, artist):
    until(lambda: artist.client.http.get(f"/tracks/{artist.track_id}/waveform").is_success)
    page.reload()
    wave = page.locator(".deck svg.wave")
    expect(wave).to_be_visible()
    assert wave.locator(".wave-all").get_attribute("d").count("M") == 160
    audio = page.locator(".deck audio")
    expect(audio).to_be_hidden()
    page.locator(".deck").get_by_role("slider").click()
    page.locator(".deck").get_by_role("button", name="Play").click()
    until(lambda: audio.evaluate("({played}) => played.length && played.end(0) - played.start(0)") > 0)
    page.locator(".deck").get_by_role("button", name="Pause").click()
    expect(page.locator("[data-time]")).to_contain_text("/ 0:30")


def test_a_track_from_the_upload_through_edits_to_its_earlier_audio_and_back(seated, service, artist):
    page = seated
    page.goto(f"{service.url}/studio")
    assert_good_in_every_view(page, "studio-empty")
    page.get_by_role("link", name="Upload a track").click()
    assert_good_in_every_view(page, "studio-upload")
    assert_tells_each_step(uploads_over_a_slow_line(page, "First_Take.wav", samples.tone(30)))
    page.set_input_files("#files", file("words.wav", b"words"))
    expect(page.get_by_role("alert")).to_be_visible()
    assert_good_in_every_view(page, "studio-uploaded")

    page.get_by_role("link", name="Edit title").click()
    artist.track_id = int(page.url.rsplit("/", 1)[1])
    here = f"{service.url}/studio/tracks/{artist.track_id}"
    assert_counts_what_is_typed(page)
    # what changes above a button moves it
    expect(page.locator("#standing")).to_contain_text("On your PDS")
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

    assert_draws_the_wave(page, artist)
    replaces_the_cover_and_the_audio(page)
    page.goto(f"{here}/history")
    compares(page, "1", "2")
    expect(page.get_by_role("cell", name="Second Thoughts")).to_be_visible()
    assert_good_in_every_view(page, "studio-compare")

    page.goto(f"{here}/versions/1")
    assert page.locator("main audio").evaluate(HEARD)
    assert_good_in_every_view(page, "studio-version")
    page.get_by_label("Put back Title").check()
    page.get_by_role("button", name="Put the ticked fields back").click()
    expect(page.locator("#done")).to_contain_text("Put back. Your PDS has it as it is here.")
    expect(page.get_by_label("Title")).to_have_value("First Take")
    expect(page.get_by_label("Liner notes")).to_have_value("Recorded in one go.\nMixed twice.")
    page.goto(f"{service.url}/studio")
    assert_good_in_every_view(page, "studio-full")


def replaces_the_cover_and_the_audio(page):
    page.set_input_files("input[name=image]", file("cover.png", cover("teal", "gold")))
    page.get_by_role("button", name="Set the cover").click()
    expect(page.locator("#done")).to_contain_text("The cover is set.")
    expect(page.locator(".deck svg.wave")).to_be_visible()
    page.set_input_files("input[name=file]", file("b.m4a", samples.m4a(2)))
    with page.expect_response("**/waveform") as of_m4a:
        page.get_by_role("button", name="Replace the audio").click()
    expect(page.locator("#done")).to_contain_text("The audio is replaced.")
    assert of_m4a.value.status == 404
    expect(page.locator(".deck").get_by_role("button", name="Play")).to_be_visible()
    expect(page.locator(".deck svg")).to_have_count(0)


def compares(page, earlier, later):
    for version in (earlier, later):
        page.get_by_label(f"Compare version {version}", exact=True).check()
    assert_good_in_every_view(page, "studio-versions-chosen")
    page.get_by_role("button", name="Compare").click()


def test_tracks_are_copied_after_they_were_counted_and_one_is_deleted_and_brought_back(
    seated, service, artist
):
    page = seated
    for title in ("First Take", "Second Thoughts", "Third Floor"):
        artist.uploads(title=title, album="Pressings")
    artist.agreed()
    selects_two(page, service)
    assert_good_in_every_view(page, "studio-selected")
    edits_in_a_table(page)
    selects_two(page, service)
    page.get_by_role("button", name="Compare with my PDS").click()
    expect(page.get_by_role("heading", name="Compare 2 tracks")).to_be_visible()
    assert_good_in_every_view(page, "studio-selection-compared")
    page.go_back()
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
    assert_a_long_list_grows_in_place(page, service, artist)


def selects_two(page, service):
    page.goto(f"{service.url}/studio")
    for title in ("First Take", "Third Floor"):
        page.get_by_label(f"Select {title}").check()


def edits_in_a_table(page):
    """One row is refused, so nothing is saved; then all are, and one button undoes it."""
    page.get_by_role("button", name="Edit in a table").click()
    expect(page.get_by_role("heading", name="Edit 2 tracks")).to_be_visible()
    page.get_by_label("Album of all").fill("Night Tapes")
    page.get_by_label("Title of Third Floor").fill("")
    page.get_by_role("button", name="Save all").click()
    expect(page.get_by_text("Nothing was saved. One track cannot be")).to_be_visible()
    assert_good_in_every_view(page, "table-refused")
    page.get_by_label("Title of Third Floor").fill("Fourth Floor")
    page.get_by_role("button", name="Save all").click()
    expect(page.get_by_text("Saved: 2 tracks.")).to_be_visible()
    expect(page.get_by_label("Album of First Take")).to_have_value("Night Tapes")
    assert_good_in_every_view(page, "table-saved")
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_text("Undone: 2 tracks are as before.")).to_be_visible()
    expect(page.get_by_label("Album of First Take")).to_have_value("Pressings")


def assert_a_long_list_grows_in_place(page, service, artist):
    """After its last link is pressed, the first of the new rows has the focus."""
    for number in range(history.PAGE):
        artist.edits(album=f"Pressing {number}")
    address = f"{service.url}/studio/tracks/{artist.track_id}/history"
    page.goto(address)
    rows = page.locator("#timeline > .event")
    expect(rows).to_have_count(history.PAGE)
    page.locator("li.more a").press("Enter")
    expect(page.locator("li.more")).to_have_count(0)
    assert rows.count() > history.PAGE
    expect(rows.nth(history.PAGE).locator(":focus")).to_have_count(1)
    assert_shows_the_focus(page)
    expect(page.locator("#v1")).to_be_visible()
    assert page.url == address


def test_a_change_by_another_program_is_told_live_and_decided_field_by_field(seated, service, artist):
    page = seated
    artist.uploads(title="Mine", album="My album")
    artist.agreed()
    listed = another(page)
    page.goto(f"{service.url}/studio/tracks/{artist.track_id}")
    artist.edits_elsewhere(title="Theirs", album="Their album")
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
    assert_follows_while_it_is_shown(page, artist, f"{service.url}/studio/tracks/{artist.track_id}")
    assert (artist.record["title"], artist.record["album"]) == ("Theirs", "My album")


def assert_follows_while_it_is_shown(page, artist, here):
    """Hidden, it closes its stream and reads nothing; shown again, it says what has happened meanwhile, after a proxy's 502 too."""
    can_be_hidden(page)
    with page.expect_request("**/events"):
        page.goto(here)
    with page.expect_event("requestfailed", lambda request: request.url.endswith("/events")):
        hides(page)
    reads = []
    page.on("request", lambda request: reads.append(request.url))
    artist.edits(description="Typed elsewhere.")
    artist.agreed()
    assert reads == []
    page.route("**/events", lambda route: route.fulfill(status=502), times=1)
    shows(page)
    expect(page.locator("#timeline")).to_contain_text("Typed elsewhere.")


def test_without_scripts_a_track_is_edited_a_conflict_decided_and_the_pds_disconnected(
    seated, service, artist
):
    page = seated
    artist.uploads(title="Mine", album="My album")
    artist.agreed()
    plain = another(page, java_script_enabled=False)
    here = f"{service.url}/studio/tracks/{artist.track_id}"
    plain.goto(here)
    plain.get_by_label("Title").fill("By hand")
    plain.get_by_role("button", name="Save").click()
    expect(plain.locator("#done")).to_contain_text("Saved.")
    plain.locator("#v2").get_by_role("button", name="Undo this change").click()
    expect(plain.locator("#done")).to_contain_text("The change is undone.")
    expect(plain.locator("#v2")).to_contain_text("Undone: nothing of it is left")
    artist.agreed()
    expect(plain.get_by_label("Title")).to_have_value("Mine")
    artist.edits_elsewhere(title="Theirs")
    artist.edits(album="Other album")
    until(lambda: artist.mirror["state"] == "held")
    plain.goto(f"{here}/pds")
    plain.get_by_role("button", name="Take theirs").click()
    expect(plain.locator("#done")).to_contain_text("Decided.")
    artist.agreed()
    assert artist.record["title"] == "Theirs"
    assert artist.record["album"] == "Other album"

    plain.goto(f"{service.url}/studio/pds")
    plain.get_by_role("link", name="Disconnect…").click()
    plain.get_by_role("button", name="Disconnect").click()
    expect(plain.get_by_text("mastertape no longer has access to your PDS")).to_be_visible()
    artist.edits(title="Kept here")
    for name, path in {"studio-waiting": "/studio", "pds-signed-out": "/studio/pds"}.items():
        page.goto(service.url + path)
        expect(page.get_by_text("You have to sign in again.").first).to_be_visible()
        assert_good_in_every_view(page, name)
    page.goto(f"{service.url}/studio/pds/disconnect")
    assert_good_in_every_view(page, "pds-disconnect")
