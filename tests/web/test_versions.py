"""The page of a track's versions: two players beside each other, for its owner and for who has the link."""

import re
from datetime import timedelta

import pytest

from replay.derived import sweep_media
from tests.api.world import upload
from tests.media_samples import samples


@pytest.fixture
def track(client, alice):
    track = upload(client, alice, title="First Take", seed=1)
    replace(client, alice, track, 2)
    return track


@pytest.fixture
def here(track):
    return f"/@alice.test/{track['id']}/versions"


def replace(client, person, track, seed):
    files = {"file": ("song.mp3", samples.mp3(seed), "audio/mpeg")}
    client.put(f"/tracks/{track['id']}/audio", files=files, headers=person.headers)


def players(page):
    return re.findall(r'<audio [^>]*src="([^"]+)"', page.text)


def test_both_versions_play_for_their_owner(studio, here):
    page = studio.get(here)
    assert [address.rpartition("?")[2] for address in players(page)] == ["version=1", "version=2"]
    for address, seed in zip(players(page), (1, 2), strict=True):
        assert studio.get(address).content == samples.mp3(seed)


def test_others_are_asked_to_sign_in_and_an_account_without_the_link_is_refused(browser, sign_in, bob, here):
    assert browser.get(here).status_code == 401
    assert sign_in(bob).get(here).status_code == 403


def test_any_two_versions_can_be_chosen(studio, alice, track, here):
    replace(studio, alice, track, 3)
    page = studio.get(here, params={"a": 1, "b": 2})
    assert [address.rpartition("?")[2] for address in players(page)] == ["version=1", "version=2"]
    assert "Choose two" in page.text


def test_a_link_lets_others_listen_until_it_is_ended(studio, here):
    made = studio.post(f"{here}/link")
    link = str(made.url).partition("testserver")[2]
    assert link in made.text.replace("&amp;", "&")
    cookies, studio.cookies = studio.cookies, {}
    page = studio.get(link)
    for address, seed in zip(players(page), (1, 2), strict=True):
        assert studio.get(address.replace("&amp;", "&")).content == samples.mp3(seed)
    assert "For you alone" not in page.text
    assert 'name="robots" content="noindex"' in page.text
    studio.cookies = cookies
    studio.post(f"{here}/end-link")
    studio.cookies = {}
    assert studio.get(link).status_code == 401


def test_no_other_key_is_shown_as_the_link(studio, here):
    studio.post(f"{here}/link")
    assert "?key=" not in studio.get(f"{here}?key=another-key-that-is-long").text


def test_a_version_has_the_name_that_its_owner_gave_it(studio, track, here):
    page = studio.post(f"{here}/name", data={"name": "new master"})
    assert "B: new master" in page.text
    history = studio.get(f"/studio/tracks/{track['id']}/history").text
    assert "named the audio" in history
    assert "new master" in history


def test_the_page_says_that_earlier_audio_is_gone(world, studio, here):
    sweep_media(world.made.media, timedelta(0))
    page = studio.get(here)
    assert len(players(page)) == 1
    assert "is no longer kept" in page.text


def test_the_first_audio_stands_alone(client, studio, alice):
    track = upload(client, alice, seed=7)
    page = studio.get(f"/@alice.test/{track['id']}/versions")
    assert len(players(page)) == 1
    assert "This is its first audio" in page.text


def test_an_album_named_versions_keeps_its_page(client, studio, alice, track):
    body = {"title": "Versions", "tracks": [{"track_id": track["id"]}]}
    assert client.post("/albums", json=body, headers=alice.headers).status_code == 201
    assert "First Take" in studio.get("/@alice.test/albums/versions").text
