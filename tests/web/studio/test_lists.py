"""Albums and playlists in the studio: made, edited, ordered by buttons, deleted and brought back; their history and records as tracks have them."""

import re
from html import unescape

import pytest

from tests.api.lists.requests import create, ids
from tests.api.world import upload
from tests.media_samples import samples
from tests.web.pages import event, seen
from tests.web.studio.forms import forms_of, send

TITLES = ("First Take", "Second Thoughts", "Third Floor")


@pytest.fixture
def tracks(client, alice):
    return [upload(client, alice, title=title, seed=seed) for seed, title in enumerate(TITLES, 1)]


@pytest.fixture
def album(world, client, alice, tracks):
    made = create(client, alice, *tracks, title="Pressings", description="Words")
    world.deliver()
    return made


@pytest.fixture
def here(album):
    return f"/studio/albums/{album['id']}"


@pytest.fixture
def now(client, alice, album):
    headers = alice.headers
    return lambda: client.get(f"/albums/{album['id']}", headers=headers).json()


@pytest.fixture
def edit(client, alice, album):
    """A program of hers changes the album."""
    headers = alice.headers
    return lambda **fields: client.patch(f"/albums/{album['id']}", json=fields, headers=headers)


def titles(made):
    return [entry["title"] for entry in made["tracks"]]


def shown_titles(page):
    return re.findall(r'<li id="at-\d+" data-title="([^"]+)"', page.text)


def adding(page):
    """What a form sends that adds a track."""
    return dict(next(each.fields for each in forms_of(page) if ("do", "add") in each.fields))


def offered(page):
    return re.findall(r'name="track" value="\d+">Add<span class="hidden"> ([^<]+)<', page.text)


def last(page):
    return re.findall(r'name="track" value="(\d+)"', page.text)[-1]


def press(studio, page, title, do):
    """Press a button beside a track, as a browser without scripts does."""
    place = shown_titles(page).index(title)
    address = str(page.url).split("?")[0].split("#")[0]
    rows = [
        form
        for form in forms_of(page)
        if form.action.endswith("/tracks") and ("do", "add") not in form.fields
    ]
    return studio.post(f"{address}/tracks", data={**dict(rows[place].fields), "do": do})


def test_an_album_is_made_and_its_tracks_are_chosen_among_those_of_its_artist(world, studio, tracks):
    page = send(studio, studio.get("/studio/albums"), "/studio/albums", title="Pressings")
    assert "Made. It is being sent to your PDS." in page.text
    here = page.url.path
    for track in tracks[:2]:
        page = studio.post(f"{here}/tracks", data={**adding(page), "track": str(track["id"])})
    assert "The track is added." in page.text
    assert shown_titles(page) == ["First Take", "Second Thoughts"]
    assert offered(page) == ["Third Floor"], "what it has is not offered again"
    assert f">{len(tracks) - 1} tracks<" in studio.get("/studio/albums").text
    world.deliver()
    assert "On your PDS" in studio.get(here).text


def test_a_button_beside_a_track_moves_it_or_takes_it_out(studio, here, now):
    for title, do, order in (
        ("First Take", "up", [0, 1, 2]),
        ("Third Floor", "down", [0, 1, 2]),
        ("Second Thoughts", "up", [1, 0, 2]),
        ("Second Thoughts", "down", [0, 1, 2]),
        ("First Take", "down", [1, 0, 2]),
        ("Third Floor", "up", [1, 2, 0]),
        ("Third Floor", "remove", [1, 0]),
    ):
        page = press(studio, studio.get(here), title, do)
        assert page.status_code == 200
        wanted = [TITLES[at] for at in order]
        assert (shown_titles(page), titles(now())) == (wanted, wanted), (title, do)


def test_a_button_that_is_sent_twice_moves_once(studio, here, now):
    page = studio.get(here)
    press(studio, page, "Third Floor", "up")
    press(studio, page, "Third Floor", "up")
    assert titles(now()) == ["First Take", "Third Floor", "Second Thoughts"]


def test_a_track_that_is_no_longer_there_is_not_moved(studio, here, now):
    page = studio.get(here)
    press(studio, page, "Second Thoughts", "remove")
    assert press(studio, page, "Second Thoughts", "up").status_code == 200
    assert titles(now()) == ["First Take", "Third Floor"]


@pytest.mark.parametrize("word", ["album", "playlist"])
def test_a_form_that_is_sent_as_it_came_changes_nothing(client, alice, studio, word):
    """A field without an input would be cleared by each save."""
    fields = {"description": "One\nTwo"} | (
        {"release_date": "2026-11-30"} if word == "album" else {"follow": False}
    )
    path = f"/{word}s"
    made = create(client, alice, path=path, **fields)
    here = f"/studio{path}/{made['id']}"
    assert "Nothing was different" in send(studio, studio.get(here), here).text


def test_a_title_that_another_album_has_names_that_album(client, alice, studio, here):
    other = create(client, alice, title="Taken")
    page = send(studio, studio.get(here), here, title="Taken")
    assert page.status_code == 409
    assert f'href="/studio/albums/{other["id"]}">It is this album.' in page.text


def test_a_cover_is_set_and_removed(studio, here, now):
    page = send(studio, studio.get(here), f"{here}/files/cover", files={"image": samples.png()})
    assert "The cover is set." in page.text
    assert f'src="{now()["image_url"].removeprefix("http://127.0.0.1:8000")}?size=480"' in page.text
    page = send(studio, page, f"{here}/do/remove-cover")
    assert "The cover is removed." in page.text
    assert now()["image_url"] is None


def test_an_album_is_deleted_listed_there_and_brought_back(*, world, studio, here, now, tracks):
    page = send(studio, studio.get(here), f"{here}/do/delete")
    assert "This album is deleted" in page.text
    assert "Pressings" not in studio.get("/studio/albums").text
    world.deliver()
    assert "Gone from your PDS" in studio.get(here).text
    deleted = studio.get("/studio/albums?deleted=true")
    assert f'href="{here}"' in deleted.text
    page = send(studio, page, f"{here}/do/undelete")
    assert "The album is back." in page.text
    assert ids(now()) == [track["id"] for track in tracks]


def test_the_timeline_names_the_tracks_that_were_added_moved_and_taken_out(studio, here):
    press(studio, studio.get(here), "Third Floor", "up")
    page = press(studio, studio.get(here), "First Take", "remove")
    assert "made the album" in event(page, 1)
    assert seen(event(page, 6), "Tracks") == (
        "Tracks was Second Thoughts · Third Floor → now Third Floor · Second Thoughts"
    )
    assert "took a track out" in event(page, 7)
    assert seen(event(page, 7), "Tracks") == "Tracks was First Take → now none"


def test_a_change_is_undone_and_a_version_is_put_back_whole(studio, here, now):
    press(studio, studio.get(here), "Third Floor", "up")
    page = send(studio, studio.get(here), f"{here}/versions/6/undo")
    assert "The change is undone." in page.text
    assert titles(now()) == list(TITLES)
    press(studio, studio.get(here), "First Take", "remove")
    version = studio.get(f"{here}/versions/2")
    assert "What is different today" in version.text
    page = send(studio, version, f"{here}/revert", whole="true")
    assert "Put back." in page.text
    assert titles(now()) == list(TITLES)


def test_another_order_by_another_program_is_decided_with_titles_on_both_sides(
    *, world, studio, here, now, edit, album
):
    record = world.pds.records[album["uri"]]
    world.pds.records[album["uri"]] = {**record, "items": record["items"][::-1]}
    edit(title="Pressings, Vol. 2")
    world.deliver()
    assert "See both, and decide" in studio.get(here).text
    task = f'href="{here}">1 album waits for your decision.</a>'
    assert [task in studio.get(each).text for each in ("/studio", "/studio/pds")] == [True, True]
    page = studio.get(f"{here}/pds")
    text = unescape(page.text)
    assert "First Take · Second Thoughts · Third Floor" in text
    assert "Third Floor · Second Thoughts · First Take" in text
    page = send(studio, page, f"{here}/decide", **{"side.items": "theirs"})
    assert "Decided." in page.text
    world.deliver()
    assert titles(now()) == [*reversed(TITLES)]
    assert "All three agree" in studio.get(f"{here}/pds").text


def test_an_album_that_texts_of_tracks_made_says_that_it_has_no_record_yet(client, alice, studio):
    upload(client, alice, title="Alone", album="By text", seed=9)
    page = studio.get("/studio/albums")
    assert "Kept here" in page.text
    here = re.search(r'href="(/studio/albums/\d+)"', page.text)[1]
    assert "your PDS gets a record of it with your first change here" in studio.get(here).text


def test_a_private_playlist_says_why_it_has_no_record_and_takes_tracks_of_others(client, bob, studio):
    track = upload(client, bob, title="Of a friend", seed=8)
    page = send(
        studio, studio.get("/studio/playlists"), "/studio/playlists", name="Mine", visibility="private"
    )
    assert "It is private, so your PDS has no record of it." in page.text
    here = page.url.path
    add = adding(page)
    for address in (f"http://127.0.0.1:8000/@bob.test/{track['id']}", track["atproto_record_uri"]):
        page = studio.post(f"{here}/tracks", data={**add, "key": address[-9:], "address": address})
        assert shown_titles(page) == ["Of a friend"]
    assert page.status_code == 409


@pytest.mark.usefixtures("tracks")
def test_any_track_is_found_by_its_words_for_an_album_one_s_own_alone(
    monkeypatch, client, alice, bob, studio
):
    monkeypatch.setattr("web.pages.studio.lists.FOUND", 2)
    upload(client, bob, title="First of a Friend", seed=8)
    upload(client, bob, title="First Secret", seed=9, unlisted="true")
    finds = {"album": ["First Take"], "playlist": ["First of a Friend", "First Take"]}
    for word, found in finds.items():
        made = create(client, alice, path=f"/{word}s")
        here = f"/studio/{word}s/{made['id']}"
        page = studio.get(here)
        assert offered(page) == ["Third Floor", "Second Thoughts"]
        assert "There are more: search for one." in page.text
        page = send(studio, page, here + "#add", find=" first ")
        assert offered(page) == found
        assert ("find", "first") in next(each.fields for each in forms_of(page) if each.method == "get")
        page = studio.post(f"{here}/tracks", data={**adding(page), "track": last(page)})
        assert shown_titles(page) == [found[-1]]
        assert "No other track has these words." in studio.get(f"{here}?find=nonsense").text


def test_a_track_that_is_not_there_is_not_added(studio, here):
    for address in ("", "nonsense", "at://nonsense", "/@bob.test/99999"):
        page = studio.post(f"{here}/tracks", data={"do": "add", "address": address})
        assert page.status_code in {400, 404}, address
        assert 'role="alert"' in page.text
        assert shown_titles(page) == list(TITLES)


def test_the_page_of_another_artist_s_album_is_not_shown(sign_in, bob, here):
    assert sign_in(bob).get(here).status_code == 403


def test_an_album_is_no_playlist(studio, album):
    assert studio.get(f"/studio/playlists/{album['id']}").status_code == 404
