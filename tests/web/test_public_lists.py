"""Pages of albums and playlists for listeners: who sees them, at which address, and what is gone."""

from html import unescape

import pytest

from identity.accounts.credentials import Scope
from tests.api.lists.requests import create
from tests.api.world import upload
from tests.media_samples import samples
from tests.web.pages import assert_small

HOSTILE = """</title><script>alert(1)</script>"'>"""


@pytest.fixture
def tracks(client, alice):
    return [upload(client, alice, title=f"Song {seed}", seed=seed) for seed in (1, 2)]


@pytest.fixture
def album(world, client, alice, tracks):
    made = create(client, alice, *tracks, title="Pressings", release_date="2026-11-30")
    world.deliver()
    return made


def playlist(client, person, *tracks, **fields):
    return create(client, person, *tracks, path="/playlists", **{"name": "Mine", **fields})


def test_an_album_shows_its_tracks_in_their_order_and_where_its_record_is(browser, album, tracks):
    page = browser.get("/@alice.test/albums/pressings")
    assert page.status_code == 200
    first, second = (page.text.index(f'href="/@alice.test/{track["id"]}"') for track in tracks)
    assert first < second
    assert "30 November 2026" in page.text
    assert "On the artist's PDS" in unescape(page.text)
    assert album["uri"] in page.text
    assert_small(page)


@pytest.mark.usefixtures("bob")
def test_another_name_of_the_artist_leads_to_the_album_and_any_other_address_nowhere(browser, alice, album):
    for name in ("ALICE.TEST", alice.did):
        answer = browser.get(f"/@{name}/albums/pressings", follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (302, "/@alice.test/albums/pressings")
    for path in (
        "/@bob.test/albums/pressings",
        "/@alice.test/albums/other",
        "/@nobody.test/albums/pressings",
        f"/@alice.test/playlists/{album['id']}",
        "/@alice.test/playlists/x",
    ):
        assert browser.get(path).status_code == 404, path


@pytest.mark.usefixtures("album")
def test_the_page_of_an_artist_has_albums_and_playlists_and_that_of_a_track_leads_to_its_album(
    browser, client, alice, tracks
):
    made = playlist(client, alice)
    page = browser.get("/@alice.test").text
    assert 'href="/@alice.test/albums/pressings"' in page
    assert f'href="/@alice.test/playlists/{made["id"]}"' in page
    assert (
        'href="/@alice.test/albums/pressings">Pressings</a>'
        in browser.get(f"/@alice.test/{tracks[0]['id']}").text
    )


def test_a_private_playlist_is_nowhere_for_others(browser, sign_in, client, alice, bob):
    made = playlist(client, alice, visibility="private")
    here = f"/@alice.test/playlists/{made['id']}"
    assert browser.get(here).status_code == 404
    assert here not in browser.get("/@alice.test").text
    assert sign_in(bob).get(here).status_code == 404
    page = sign_in(alice).get(here)
    assert page.status_code == 200
    assert "Private: only you see it" in page.text
    assert '<meta name="robots" content="noindex">' in page.text


def test_what_is_gone_and_what_is_not_here_is_said_so(browser, client, alice, bob, tracks):
    of_bob = upload(client, bob, title="Withdrawn", seed=9)
    made = playlist(client, alice, tracks[0], of_bob)
    client.delete(f"/tracks/{of_bob['id']}", headers=bob.headers)
    page = browser.get(f"/@alice.test/playlists/{made['id']}").text
    assert "This track is gone" in page
    assert "Withdrawn" not in page
    assert "Song 1" in page


def test_a_shared_album_brings_its_title_and_cover_and_runs_nothing_that_it_says(browser, client, alice):
    made = client.post(
        "/albums",
        data={"title": HOSTILE, "description": HOSTILE, "slug": "hostile"},
        files={"image": samples.png()},
        headers=alice.headers,
    ).json()
    page = browser.get("/@alice.test/albums/hostile")
    assert f'<meta property="og:image" content="{made["image_url"]}?size=1200">' in page.text
    assert '<meta property="og:type" content="music.album">' in page.text


def test_an_album_that_was_taken_down_is_there_for_its_owner_alone(
    *, client, world, browser, sign_in, alice, album, tracks
):
    here = "/@alice.test/albums/pressings"
    admin = world.sign_in("admin", scope=Scope.ADMIN)
    path = f"/ops/albums/{album['id']}/takedown"
    client.post(path, json={"reason": "a claim"}, headers=admin.headers)
    for address in (here, f"{here}/feed.xml", f"/embed/albums/{album['id']}"):
        assert browser.get(address).status_code == 404, address
    for page in ("/@alice.test", f"/@alice.test/{tracks[0]['id']}", "/search?q=Pressings"):
        assert "/albums/pressings" not in browser.get(page).text, page
    page = sign_in(alice).get(here)
    assert "taken this album down" in page.text
    assert 'content="noindex"' in page.text
    assert "/embed/albums" not in page.text
    studio = sign_in(alice).get(f"/studio/albums/{album['id']}")
    assert "taken this album down" in studio.text
    assert "taken down" in sign_in(alice).get("/studio/albums").text


def test_a_deleted_album_has_no_page(browser, client, alice, album):
    client.delete(f"/albums/{album['id']}", headers=alice.headers)
    page = browser.get("/@alice.test/albums/pressings")
    assert page.status_code == 404
    assert "no album or playlist at this address" in page.text
