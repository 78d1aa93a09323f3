"""A release in Chromium, on the real service and a real PDS: files that are dropped, a line that breaks, an order, and all at once at the PDS."""

import pytest
from playwright.sync_api import expect

from demo.album import COLLECTION as LISTS
from demo.story import COLLECTION as TRACKS
from tests.api.releases.uploads import bandcamp, tagged
from tests.e2e.conftest import ONE_DATABASE
from tests.e2e.pages.browser_acts import drops
from tests.e2e.pages.browser_checks import assert_good_in_every_view
from tests.e2e.pages.keyboard import presses, tabs_to
from tests.media_samples import samples
from tests.waits import until

pytestmark = [pytest.mark.pds, pytest.mark.browser, ONE_DATABASE]
NO_AUDIO, LONG = 5, 6
PART_BYTES = 8 * 1024 * 1024
LISTENS = """() => {
  const place = document.getElementById("whole-said");
  window.said = [];
  new MutationObserver(() => said.push(place.textContent)).observe(place, {childList: true});
}"""


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Six files in a folder; the text is none that could be a track, and one takes two requests."""
    folder = tmp_path_factory.mktemp("files")
    for number in range(1, 7):
        data = tagged(number, title=f"Song {number}", album="Pressings", number=str(number))
        if number == LONG:
            data += samples.file("bare.mp3") * 1500
        name, data = (f"{number:02}.txt", b"words") if number == NO_AUDIO else (f"{number:02}.mp3", data)
        (folder / name).write_bytes(data)
    return sorted(folder.iterdir())


def shown(page):
    return page.locator("#order > li").evaluate_all("rows => rows.map(row => row.dataset.title)")


def begins(page, service):
    page.goto(f"{service.url}/studio/releases")
    page.get_by_role("button", name="New release").click()
    expect(page.get_by_text("No tracks yet.")).to_be_visible()


def test_an_album_is_dropped_ordered_and_published_although_the_line_breaks_twice(
    seated, service, artist, files
):
    page, offsets = seated, []
    titles = ["Song 1", "Song 2", "Song 3", "Song 4", f"Song {LONG}"]
    page.goto(f"{service.url}/studio/releases")
    assert_good_in_every_view(page, "releases-empty")
    begins(page, service)
    assert_good_in_every_view(page, "release-empty")
    breaks = [True, True]

    def line(route):
        offset = route.request.headers.get("upload-offset", "")
        if route.request.method == "PATCH" and offset == str(PART_BYTES):
            offsets.append(offset)
            if breaks:
                breaks.pop()
                route.abort()
                return
        route.continue_()

    page.route("**/uploads/*", line)
    page.evaluate(LISTENS)
    page.set_input_files("#files", files)
    expect(page.locator("#order > li")).to_have_count(5, timeout=60_000)
    assert len(page.evaluate("() => window.said")) <= 2 * len(files), "each byte is read aloud"
    assert len(offsets) == 3, "the rest of a file is sent again, and not all of it"
    assert shown(page) == titles
    expect(page.locator("#uploads > li")).to_contain_text("05.txt")
    expect(page.get_by_label("Album", exact=True)).to_have_value("Pressings")
    assert_good_in_every_view(page, "release")

    handle = page.get_by_role("button", name="Move Song 2", exact=True)
    tabs_to(page, handle)
    page.keyboard.press("ArrowUp")
    expect(handle).to_be_focused()
    presses(page, "Move down Song 1", exact=True)
    page.get_by_label("Title of 01.mp3").fill("Overture")
    page.get_by_label("Copy the audio to my PDS").check()
    page.get_by_role("button", name="Save the draft").click()
    expect(page.locator("#done")).to_have_text("Saved.")
    order = [*titles[1:3], "Overture", *titles[3:]]
    assert shown(page) == order
    page.get_by_role("button", name="Publish now").click()
    expect(
        page.get_by_text("Published: 5 tracks").or_(page.get_by_text("It is being published."))
    ).to_be_visible()
    until(lambda: len(artist.pds.list_records(artist.did, TRACKS)) == 5)
    records = {each["uri"]: each["value"]["title"] for each in artist.pds.list_records(artist.did, TRACKS)}

    def listed():
        found = [each["value"]["items"] for each in artist.pds.list_records(artist.did, LISTS)]
        return [[records[item["subject"]["uri"]] for item in items] for items in found]

    until(lambda: listed() == [order])
    page.reload()
    rows = page.locator("#order > li")
    assert [rows.nth(each).bounding_box()["height"] < 100 for each in (0, 4)] == [True, True]
    assert_good_in_every_view(page, "release-published")


def test_with_the_keyboard_alone_a_release_is_filled_ordered_and_published_on_a_phone(
    seated, service, artist, files
):
    page = seated
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{service.url}/studio/releases")
    presses(page, "New release")
    with page.expect_file_chooser() as chooser:
        tabs_to(page, page.get_by_label("Choose files"))
        page.keyboard.press("Space")
    chooser.value.set_files(files[:2])
    expect(page.locator("#order > li")).to_have_count(2)
    tabs_to(page, page.get_by_role("button", name="Move Song 2", exact=True))
    page.keyboard.press("ArrowUp")
    tabs_to(page, page.get_by_label("Title of 01.mp3"))
    page.keyboard.type("Coda")
    tabs_to(page, page.get_by_label("Album", exact=True))
    page.keyboard.type("Tapes")
    presses(page, "Publish now")
    expect(
        page.get_by_text("Published: 2 tracks").or_(page.get_by_text("It is being published."))
    ).to_be_visible()
    until(lambda: len(artist.pds.list_records(artist.did, TRACKS)) == 2)
    records = [each["value"] for each in artist.pds.list_records(artist.did, TRACKS)]
    found = sorted((each["title"], each["album"]) for each in records)
    assert found == [("Coda", "Tapes"), ("Song 2", "Tapes")]


def test_what_is_typed_while_another_tab_saves_is_shown_beside_it_and_a_new_row_is_moved(
    seated, service, artist, files
):
    page = seated
    begins(page, service)
    album = page.get_by_label("Album", exact=True)
    album.fill("Typed")
    address = page.url.partition("?")[0].replace("/studio", "")
    artist.client.http.patch(address, json={"title": "Saved"}).raise_for_status()
    page.set_input_files("#files", files[:2])
    expect(page.locator("#order > li")).to_have_count(2)
    expect(page.get_by_text("Meanwhile its title is “Saved”.")).to_be_visible()
    page.get_by_role("button", name="Move Song 2", exact=True).press("ArrowUp")
    page.get_by_role("button", name="Save the draft").click()
    expect(page.locator("#done")).to_have_text("Saved.")
    expect(album).to_have_value("Typed")
    assert shown(page) == ["Song 2", "Song 1"]


def test_an_upload_goes_on_after_a_reload_when_its_file_is_chosen_again(seated, service, files):
    page, sent = seated, []
    begins(page, service)
    here = page.url
    page.on("request", lambda request: sent.append(request.headers.get("upload-offset")))
    page.route(
        "**/uploads/*",
        lambda route: (
            route.abort()
            if route.request.headers.get("upload-offset") == str(PART_BYTES)
            else route.continue_()
        ),
    )
    page.set_input_files("#files", files[LONG - 1])
    expect(page.get_by_text("The connection was cut off")).to_be_visible(timeout=20_000)
    page.unroute("**/uploads/*")
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(here)
    expect(page.get_by_text("choose the file again to go on")).to_be_visible()
    sent.clear()
    page.set_input_files("#files", files[LONG - 1])
    expect(page.locator("#order > li")).to_have_count(1, timeout=20_000)
    assert [each for each in sent if each] == [str(PART_BYTES)]


def test_an_upload_outlasts_a_silence_and_the_end_of_a_session(seated, service, files):
    page, answers, removed = seated, [401, 408], []
    begins(page, service)

    def line(route):
        if route.request.method == "PATCH" and answers:
            route.fulfill(status=answers.pop(), json={"detail": {"error": "other", "message": "Not now."}})
            return
        if route.request.method == "DELETE":
            removed.append(route.request.url)
        route.continue_()

    page.route("**/uploads/*", line)
    page.set_input_files("#files", files[0])
    expect(page.locator("#uploads > li")).to_contain_text("Not now.")
    page.set_input_files("#files", files[0])
    expect(page.locator("#order > li")).to_have_count(1)
    assert removed == []


def test_a_file_gets_its_row_although_a_form_was_refused_and_the_service_is_busy(seated, service, files):
    page, busy = seated, [503, 429]
    begins(page, service)
    page.set_input_files("#cover [type=file]", files[NO_AUDIO - 1])
    page.get_by_role("button", name="Set the cover").click()
    expect(page.get_by_role("alert")).to_be_visible()

    def answer(route):
        if route.request.resource_type == "fetch" and busy:
            route.fulfill(status=busy.pop(), headers={"Retry-After": "1"})
        else:
            route.continue_()

    page.route("**/studio/releases/*", answer)
    page.set_input_files("#files", files[0])
    expect(page.locator("#order > li")).to_have_count(1, timeout=20_000)
    expect(page.get_by_label("Album", exact=True)).to_have_value("Pressings")


def test_what_is_refused_is_said_once_and_not_sent_again(seated, service, files):
    """A conflict that is none of offsets, and a refusal whose answer was lost."""
    page, sent, first = seated, [], files[0].read_bytes()
    begins(page, service)

    def line(route):
        body = route.request.post_data_buffer
        if route.request.method == "PATCH":
            sent.append(body)
        if body == b"words":
            route.fetch()
            route.abort()
        elif body == first:
            problem = {"detail": {"error": "bad_state", "message": "It is scheduled."}}
            route.fulfill(status=409, json=problem)
        else:
            route.continue_()

    page.route("**/uploads/*", line)
    for path, words in ((files[0], "It is scheduled."), (files[NO_AUDIO - 1], "no sound was found in it")):
        page.set_input_files("#files", path)
        expect(page.locator("#uploads > li", has_text=path.name)).to_contain_text(words)
    assert [body or b"" for body in sent] == [first, b"words", b""]


def test_the_zone_of_a_time_is_that_of_its_season_unless_one_is_chosen(seated, service):
    page = seated
    page.context.new_cdp_session(page).send("Emulation.setTimezoneOverride", {"timezoneId": "Europe/Berlin"})
    begins(page, service)
    for at, zone in (("2100-07-05T09:00", "+02:00"), ("2100-01-05T09:00", "+01:00")):
        page.get_by_label("Or at").fill(at)
        page.get_by_label("Time zone").focus()
        expect(page.get_by_label("Time zone")).to_have_value(zone)
    page.get_by_label("Time zone").select_option("-05:00")
    page.get_by_label("Or at").fill("2100-07-05T09:00")
    page.get_by_role("button", name="Schedule it").click()
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("Time zone")).to_have_value("-05:00")


def test_a_folder_as_bandcamp_sends_it_becomes_a_draft_with_its_cover(seated, service, tmp_path):
    page, titles = seated, ["Overture", "Second Thoughts", "Coda"]
    folder = tmp_path / "The Tapes - Pressings"
    folder.mkdir()
    files = {**bandcamp(titles), "cover.jpg": samples.jpeg(1200, 1200), "booklet.png": samples.png()}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    begins(page, service)
    page.set_input_files("#folder", folder)
    expect(page.locator("#order > li")).to_have_count(3, timeout=20_000)
    assert shown(page) == titles
    expect(page.get_by_label("Album", exact=True)).to_have_value("Pressings")
    expect(page.locator("#cover")).to_contain_text("It has one.")
    expect(page.locator("#uploads > li")).to_have_count(0)
    page.get_by_role("button", name="Make a link").click()
    page.goto(page.get_by_label("Copy it now: it is shown this once").input_value())
    assert page.locator(".release-cover img").evaluate("image => image.naturalWidth") == 1200


def test_files_are_dropped_and_those_that_are_there_are_left_out(seated, service, files):
    page = seated
    begins(page, service)
    dropped = [(path.name, path.read_bytes()) for path in files[:3]]
    drops(page, "#release-uploads", *dropped[:2])
    expect(page.locator("#order > li")).to_have_count(2)
    drops(page, "#release-uploads", *dropped)
    expect(page.locator("#order > li")).to_have_count(3)
    expect(page.locator("#uploads > li")).to_have_count(0)
    page.get_by_role("button", name="Make a link").click()
    link = page.get_by_label("Copy it now: it is shown this once").input_value()
    assert_good_in_every_view(page, "release-link")
    page.goto(link)
    expect(page.locator("audio")).to_have_count(3)
    assert page.locator("audio").first.evaluate(
        "audio => new Promise(done => { audio.oncanplay = () => done(true); audio.load(); audio.preload = 'auto'; })"
    )
    assert_good_in_every_view(page, "preview")
