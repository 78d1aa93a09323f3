"""Albums, playlists and likes in Chromium, on the real service and a real PDS."""

import pytest
from playwright.sync_api import expect

from demo.album import COLLECTION
from demo.media import cover
from tests.e2e.conftest import ONE_DATABASE
from tests.e2e.pages.browser_acts import another
from tests.e2e.pages.browser_checks import assert_good_in_every_view
from tests.e2e.pages.keyboard import presses, tabs_to
from tests.waits import until

pytestmark = [pytest.mark.pds, pytest.mark.browser, ONE_DATABASE]
TITLES = ("First Take", "Second Thoughts", "Third Floor")


@pytest.fixture
def tracks(artist):
    found = [artist.uploads(title=title) for title in TITLES]
    artist.agreed()
    return found


@pytest.fixture
def made(artist, tracks):
    """Makes a list of the tracks; gives its body."""

    def make(word, **fields):
        entries = [{"track_id": track["id"]} for track in tracks]
        body = {"title" if word == "album" else "name": "Pressings", "tracks": entries, **fields}
        answer = artist.client.http.post(f"/{word}s", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    return make


def shown(page):
    return page.locator("#order > li").evaluate_all("rows => rows.map(row => row.dataset.title)")


def of(artist, made, word="album"):
    return artist.client.http.get(f"/{word}s/{made['id']}").json()


def is_ordered(artist, made, *titles, word="album"):
    """Here, and at the PDS."""
    until(lambda: [entry["title"] for entry in of(artist, made, word)["tracks"]] == [*titles])

    def record():
        found = artist.pds.get_record(artist.did, COLLECTION, made["uri"].rsplit("/", 1)[1])
        return [item["subject"]["uri"] for item in found["value"]["items"]] if found else []

    until(lambda: record() == [entry["uri"] for entry in of(artist, made, word)["tracks"]])


def handle(page, title):
    return page.get_by_role("button", name=f"Move {title}", exact=True)


def drags(page, title, onto):
    """Drag a track by its handle over the lower half of another one."""
    here, there = (handle(page, each).bounding_box() for each in (title, onto))
    page.mouse.move(here["x"] + 5, here["y"] + here["height"] / 2)
    page.mouse.down()
    page.mouse.move(here["x"] + 5, there["y"] + there["height"], steps=8)
    page.mouse.up()


@pytest.mark.usefixtures("tracks")
def test_an_album_is_made_and_ordered_by_drag_by_the_arrow_keys_and_by_buttons(seated, service, artist):
    page = seated
    page.goto(f"{service.url}/studio/albums")
    assert_good_in_every_view(page, "albums-empty")
    page.get_by_label("Title of a new album").fill("Pressings")
    page.get_by_role("button", name="Make the album").click()
    expect(page.locator("#done")).to_contain_text("Made. Your PDS has it as it is here.")
    assert_good_in_every_view(page, "album-offered")
    for title in TITLES:
        page.get_by_role("button", name=f"Add {title}").click()
        expect(page.locator("#done")).to_contain_text("The track is added.")
    page.set_input_files(
        "input[name=image]", {"name": "c.png", "mimeType": "image/png", "buffer": cover("teal", "gold")}
    )
    page.get_by_role("button", name="Set the cover").click()
    expect(page.locator("#done")).to_contain_text("The cover is set.")
    assert_good_in_every_view(page, "album")
    here = page.url.split("?")[0]
    album = artist.client.http.get(here.removeprefix(f"{service.url}/studio")).json()

    drags(page, "First Take", "Third Floor")
    assert shown(page) == ["Second Thoughts", "Third Floor", "First Take"]
    expect(page.locator("#order-said")).to_have_text("First Take: place 3 of 3.")
    is_ordered(artist, album, "Second Thoughts", "Third Floor", "First Take")
    expect(page.locator("#timeline")).to_contain_text("moved a track")
    page.goto(here)
    tabs_to(page, handle(page, "First Take"))
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    expect(handle(page, "First Take")).to_be_focused()
    is_ordered(artist, album, "First Take", "Second Thoughts", "Third Floor")
    presses(page, "Move down First Take")
    is_ordered(artist, album, "Second Thoughts", "First Take", "Third Floor")
    assert page.url.split("?")[0] == here, "the page was not left"


def test_the_pages_of_lists_are_good_in_every_view(*, seated, service, artist, new_artist, pds, made):
    """Held, deleted, with a track that is gone, and public."""
    page, friend, studio, http = seated, new_artist(pds), f"{service.url}/studio", artist.client.http
    deleted, held = (made("album", title=title) for title in ("Outtakes", "Pressings"))
    track = friend.uploads(title="Of a friend")
    friend.agreed()
    playlist = made("playlist", tracks=[{"track_id": track["id"]}])
    friend.client.delete(track["id"])
    http.delete(f"/albums/{deleted['id']}").raise_for_status()
    is_ordered(artist, held, *TITLES)
    orders_elsewhere(artist, held)
    http.patch(f"/albums/{held['id']}", json={"title": "Pressings, Vol. 2"}).raise_for_status()
    until(lambda: of(artist, held)["mirror"]["state"] == "held")
    for name, address in {
        "album-held": f"{studio}/albums/{held['id']}",
        "album-decide": f"{studio}/albums/{held['id']}/pds",
        "album-version": f"{studio}/albums/{held['id']}/versions/1",
        "album-deleted": f"{studio}/albums/{deleted['id']}",
        "albums-deleted": f"{studio}/albums?deleted=true",
        "album-public": f"{service.url}/@{artist.did}/albums/{held['slug']}",
        "artist-with-albums": f"{service.url}/@{artist.did}",
        "playlist": f"{studio}/playlists/{playlist['id']}",
        "playlist-public": f"{service.url}/@{artist.did}/playlists/{playlist['id']}",
        "likes-empty": f"{studio}/likes",
    }.items():
        assert page.goto(address).ok, address
        assert_good_in_every_view(page, name)


def orders_elsewhere(artist, made):
    rkey = made["uri"].rsplit("/", 1)[1]
    record = artist.pds.get_record(artist.did, COLLECTION, rkey)["value"]
    first, second, third = record["items"]
    artist.pds.put_record(artist.did, COLLECTION, rkey, {**record, "items": [third, second, first]})


def test_a_track_is_dragged_with_a_finger(seated, service, artist, made):
    album = made("album")
    phone = another(seated, has_touch=True, viewport={"width": 390, "height": 700})
    phone.goto(f"{service.url}/studio/albums/{album['id']}")
    handle(phone, "First Take").scroll_into_view_if_needed()
    here, there = (handle(phone, each).bounding_box() for each in ("First Take", "Third Floor"))
    finger, x = phone.context.new_cdp_session(phone), here["x"] + 5
    touches(finger, "touchStart", {"x": x, "y": here["y"] + 5})
    for share in range(1, 9):
        touches(finger, "touchMove", {"x": x, "y": here["y"] + (there["y"] + 40 - here["y"]) * share / 8})
    touches(finger, "touchEnd")
    assert shown(phone) == ["Second Thoughts", "Third Floor", "First Take"]
    is_ordered(artist, album, "Second Thoughts", "Third Floor", "First Take")


def touches(finger, kind, *points):
    finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [*points]})


def test_a_move_that_is_refused_is_said_and_undone_on_the_page(seated, service, made):
    page, album = seated, made("album")
    page.goto(f"{service.url}/studio/albums/{album['id']}")
    page.route("**/albums/*/tracks", lambda route: route.abort(), times=1)
    handle(page, "Third Floor").press("ArrowUp")
    expect(page.get_by_role("alert")).to_have_text("Not moved: the connection was cut off.")
    until(lambda: shown(page) == [*TITLES])


def test_without_scripts_an_album_is_ordered_by_its_buttons(seated, service, artist, made):
    album = made("album")
    plain = another(seated, java_script_enabled=False)
    plain.goto(f"{service.url}/studio/albums/{album['id']}")
    plain.get_by_role("button", name="Move up Third Floor").click()
    is_ordered(artist, album, "First Take", "Third Floor", "Second Thoughts")
    plain.get_by_role("button", name="Move down First Take").click()
    is_ordered(artist, album, "Third Floor", "First Take", "Second Thoughts")
    plain.get_by_role("button", name="Remove Second Thoughts").click()
    expect(plain.locator("#done")).to_contain_text("The track is taken out.")
    is_ordered(artist, album, "Third Floor", "First Take")
    plain.get_by_label("Find one of your tracks").fill("thoughts")
    plain.get_by_role("button", name="Search").click()
    plain.get_by_role("button", name="Add Second Thoughts").click()
    is_ordered(artist, album, "Third Floor", "First Take", "Second Thoughts")
