"""Listening in Chromium: one player that goes on from page to page, its queue and keys; and search."""

import re
from array import array
from functools import cache

import pytest
from playwright.sync_api import expect

from demo import media
from tests.e2e.conftest import ONE_DATABASE
from tests.e2e.pages.browser_acts import another
from tests.e2e.pages.browser_checks import assert_good_in_every_view, silent_console
from tests.e2e.sign_in_pages import are_signed_in
from tests.waits import until

pytestmark = [pytest.mark.pds, pytest.mark.browser, ONE_DATABASE]
tone = cache(media.tone)
"""The same three for each test: to make one takes half a second."""
TITLES = ("First Take", "Second Thoughts", "Third Floor")
IS_PLAYING = (
    "() => { const it = document.querySelector('#player audio'); return !it.paused && it.currentTime > 0 }"
)
SECONDS = 30
HEADER_BYTES = 44


@pytest.fixture
def track(artist):
    return artist.client.upload(tone(220, SECONDS), title=TITLES[0])


@pytest.fixture
def tracks(artist, track):
    others = enumerate(TITLES[1:], 1)
    return [
        track,
        *(artist.client.upload(tone(220 + 40 * number, SECONDS), title=title) for number, title in others),
    ]


@pytest.fixture
def album(artist, tracks):
    entries = [{"track_id": track["id"]} for track in tracks]
    answer = artist.client.http.post("/albums", json={"title": "Pressings", "tracks": entries})
    assert answer.status_code == 201, answer.text
    return answer.json()


@pytest.fixture
def home(page, service, album):  # noqa: ARG001 - on its pages
    with silent_console(page):
        page.goto(service.url)
        yield page


def player(page):
    return page.get_by_role("region", name="Player")


def plays(page, title):
    expect(player(page).get_by_role("link", name=title)).to_be_visible()
    page.wait_for_function(IS_PLAYING)


def test_what_plays_goes_on_from_page_to_page_back_and_after_a_reload(home, service, album):
    page = home
    page.goto(f"{service.url}/@{album['owner_handle']}/albums/pressings")
    page.evaluate("window.isTheSame = true")
    page.get_by_role("button", name="Play all").click()
    plays(page, TITLES[0])
    page.get_by_role("link", name=TITLES[1]).click()
    expect(page.get_by_role("heading", name=TITLES[1], level=1)).to_be_visible()
    expect(page).to_have_url(re.compile(r"/@[^/]+/[0-9]+$"))
    plays(page, TITLES[0])
    page.go_back()
    expect(page.get_by_role("heading", name="Pressings", level=1)).to_be_visible()
    plays(page, TITLES[0])
    assert page.evaluate("window.isTheSame"), "no page was loaded anew"
    page.reload()
    expect(player(page).get_by_role("link", name=TITLES[0])).to_be_visible()
    page.wait_for_function("document.querySelector('#player audio').currentTime > 0")
    expect(player(page).get_by_role("button", name="Play", exact=True)).to_be_visible()
    assert_good_in_every_view(page, "player")


def test_keys_and_buttons_move_through_the_queue_and_a_list_adds_to_it(home, service, album):
    page = home
    page.goto(f"{service.url}/@{album['owner_handle']}/albums/pressings")
    page.get_by_role("button", name="Play all").click()
    plays(page, TITLES[0])
    page.locator("main").evaluate("main => { main.tabIndex = -1; main.focus() }")
    page.keyboard.press("n")
    plays(page, TITLES[1])
    player(page).get_by_role("button", name="Next track").click()
    plays(page, TITLES[2])
    expect(player(page).get_by_role("button", name="Next track")).to_be_disabled()
    page.locator("main").focus()
    page.keyboard.press("p")
    plays(page, TITLES[1])
    page.keyboard.press("ArrowRight")
    page.wait_for_function("document.querySelector('#player audio').currentTime > 5")
    page.keyboard.press(" ")
    page.wait_for_function("document.querySelector('#player audio').paused")
    page.keyboard.press(" ")
    plays(page, TITLES[1])
    player(page).get_by_role("button", name="Close the player").click()
    expect(player(page)).to_be_hidden()

    page.goto(service.url)
    for title in TITLES[:2]:
        page.get_by_role("button", name=f"Add to queue {title}").first.click()
    expect(player(page)).to_contain_text("1 of 2")
    expect(player(page)).to_contain_text("Added to the queue.")


@pytest.fixture
def heard(page, service, artist, listener, track):
    """The page of a track, for a listener who has commented on it."""
    artist.client.http.patch("/me", json={"comments": True}).raise_for_status()
    api = listener.client.http
    said = {"text": "Here it begins", "timestamp_ms": 12_000}
    api.post(f"/tracks/{track['id']}/comments", json=said).raise_for_status()
    until(lambda: api.get(f"/tracks/{track['id']}/waveform").is_success)
    are_signed_in(page.context, service.url, listener.client)
    with silent_console(page):
        page.goto(f"{service.url}/@{track['artist_handle']}/{track['id']}")
        yield page


def seconds(page, which):
    return page.locator(which).evaluate("audio => audio.currentTime")


def test_comments_stand_on_the_waveform_and_are_written_at_its_place(heard):
    page = heard
    wave = page.locator(".deck svg.wave")
    expect(wave.locator(".wave-comment title")).to_have_text(re.compile("^@.*: Here it begins$"))
    page.get_by_role("link", name="0:12").click()
    until(lambda: 12 <= seconds(page, "#player audio") < 20)
    expect(page.locator("[data-said]")).to_contain_text("Here it begins")
    expect(page.get_by_role("textbox", name="At").first).to_have_value(re.compile("0:1[2-9]"))
    assert_good_in_every_view(page, "listen-track")
    page.get_by_role("button", name="Play", exact=True).first.click()
    plays(page, TITLES[0])
    expect(player(page).locator("svg.wave .wave-comment")).to_have_count(1)
    page.get_by_role("link", name="mastertape").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Your music")
    player(page).get_by_role("slider", name="Position").fill("20")
    player(page).get_by_role("link", name="Comment").click()
    expect(page.get_by_label("Your comment", exact=True)).to_be_focused()
    expect(page.get_by_role("textbox", name="At").first).to_have_value(re.compile("0:2[0-9]"))
    plays(page, TITLES[0])
    assert_good_in_every_view(page, "listen-player")


def test_a_like_in_the_player_is_one_on_the_page_too(heard, listener, track):
    page, path = heard, f"/tracks/{track['id']}"
    liked = lambda: listener.client.http.get(path).json()["is_liked"]  # noqa: E731
    page.get_by_role("button", name="Play", exact=True).first.click()
    plays(page, TITLES[0])
    heart = player(page).get_by_role("button", name="Like")
    heart.click()
    expect(heart).to_have_attribute("aria-pressed", "true")
    expect(page.locator("main").get_by_role("button", name="Liked")).to_be_visible()
    assert liked()
    page.get_by_role("link", name="mastertape").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Your music")
    heart.click()
    expect(heart).to_have_attribute("aria-pressed", "false")
    assert not liked()
    plays(page, TITLES[0])


def test_back_shows_a_list_where_it_was_left(home, service, tracks):
    page = home
    page.set_viewport_size({"width": 390, "height": 500})
    page.goto(f"{service.url}/@{tracks[0]['artist_handle']}")
    page.get_by_role("button", name="Play all").click()
    plays(page, TITLES[-1])
    link = page.locator("main").get_by_role("link", name=TITLES[0])
    link.focus()
    before = page.evaluate("scrollY")
    assert before > 0
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name=TITLES[0], level=1)).to_be_visible()
    page.go_back()
    expect(link).to_be_visible()
    page.wait_for_function("top => scrollY === top", arg=before)


def softer(audio):
    """The same WAV file with half of the level."""
    samples = array("h", audio[HEADER_BYTES:])
    return audio[:HEADER_BYTES] + array("h", (each // 2 for each in samples)).tobytes()


@pytest.fixture
def versions(page, service, artist, track):
    """The versions of a track whose new master is louder."""
    api = artist.client.http
    for hertz, change in ((500, softer), (500, bytes)):
        files = {"file": ("master.wav", change(tone(hertz, SECONDS)), "audio/wav")}
        api.put(f"/tracks/{track['id']}/audio", files=files).raise_for_status()
        until(lambda: api.get(f"/tracks/{track['id']}/waveform").is_success)
    api.patch(f"/tracks/{track['id']}", json={"audio_name": "new master"}).raise_for_status()
    are_signed_in(page.context, service.url, artist.client)
    return f"{service.url}/@{track['artist_handle']}/{track['id']}/versions"


def test_two_versions_are_heard_at_the_same_place_and_equally_loud(page, versions):
    first, second = "article:nth-of-type(1) audio", "article:nth-of-type(2) audio"
    volumes = lambda: [page.locator(each).evaluate("it => it.volume") for each in (first, second)]  # noqa: E731
    with silent_console(page):
        page.goto(versions)
        expect(page.locator(".pair svg.wave")).to_have_count(2)
        expect(page.get_by_role("status").first).to_contain_text(
            "B is 6.0 dB louder, and is played so much softer."
        )
        assert volumes() == [1, pytest.approx(0.5, abs=0.01)]
        page.get_by_role("button", name="A: Version 2").click()
        until(lambda: seconds(page, first) > 1)
        page.get_by_role("button", name="B: new master").click()
        expect(page.get_by_role("button", name="B: new master")).to_have_attribute("aria-pressed", "true")
        assert page.locator(first).evaluate("audio => audio.paused")
        until(lambda: seconds(page, second) >= seconds(page, first))
        assert seconds(page, second) < seconds(page, first) + 5
        page.get_by_role("checkbox", name="Equally loud").uncheck()
        assert volumes() == [1, 1]
        page.get_by_role("button", name="Make a link for others").click()
        expect(page.get_by_label("Link to these versions")).to_contain_text("?key=")
        assert_good_in_every_view(page, "listen-versions")
        link = page.url
        page.context.clear_cookies()
        page.goto(link)
        expect(page.locator(".pair svg.wave")).to_have_count(2)
        expect(page.get_by_text("For you alone")).to_have_count(0)


def test_without_scripts_pages_have_players_of_their_own_and_offer_no_other(page, versions):
    bare = another(page, java_script_enabled=False)
    for address, players in ((versions, 2), (versions.removesuffix("/versions"), 1)):
        bare.goto(address)
        expect(bare.locator("main audio")).to_have_count(players)
        expect(bare.locator("main audio").first).to_be_visible()
        for name in ("B: new master", "Add to queue"):
            expect(bare.get_by_role("button", name=name)).to_have_count(0)
