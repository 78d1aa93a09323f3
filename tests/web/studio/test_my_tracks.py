"""My tracks: one mark each, filters, pages, and a selection with counts before anything is done."""

import re
from html import unescape

import pytest

from api.requests.parameters import MAX_PAGE_LENGTH
from tests.api.records.test_resolve import edited_elsewhere
from tests.api.world import upload
from tests.web.studio.forms import send
from web.pages.studio import my_tracks

TITLES = ("Alpha", "Beta", "Gamma")


@pytest.fixture
def three(client, alice):
    return [upload(client, alice, title=title, seed=at) for at, title in enumerate(TITLES, 1)]


def marked_in(page):
    found = re.findall(r'id="mark-(\d+)" data-live>\s*<span class="mark \w+">([^<]+)<', page.text)
    return {int(track_id): mark for track_id, mark in found}


def titles_of(page):
    return [title for title in reversed(TITLES) if f">{title}</a>" in page.text]


def test_each_track_has_its_mark_and_each_mark_its_tracks(world, client, alice, three, studio):
    page = studio.get("/studio")
    assert titles_of(page) == ["Gamma", "Beta", "Alpha"]
    assert page.text.count("On its way</span>") == 3
    world.deliver()
    client.patch(f"/tracks/{three[0]['id']}", json={"title": "Alpha"} | {"album": "x"}, headers=alice.headers)
    assert titles_of(studio.get("/studio?mark=on-its-way")) == ["Alpha"]
    assert titles_of(studio.get("/studio?mark=on-pds")) == ["Gamma", "Beta"]
    assert titles_of(studio.get("/studio?mark=held")) == []
    assert titles_of(studio.get("/studio?q=bet")) == ["Beta"]


def test_a_track_of_an_account_without_a_login_waits_for_its_artist(world, client, sign_in):
    carol = world.sign_in("carol", lane=False)
    upload(client, carol)
    page = sign_in(carol).get("/studio?mark=waiting")
    assert "Waiting for you" in page.text
    assert "/auth/login?return_to=/studio" in page.text
    assert ">Song</a>" in page.text


def test_what_waits_for_its_artist_is_named_above_all_tracks(world, client, alice, three, studio):
    decision = 'id="decisions" data-live></div>'
    assert decision in studio.get("/studio").text
    world.deliver()
    edited_elsewhere(world, three[0], title="theirs")
    client.patch(f"/tracks/{three[0]['id']}", json={"album": "x"}, headers=alice.headers)
    world.deliver()
    page = studio.get("/studio")
    assert f'<a href="/studio/tracks/{three[0]["id"]}">1 track waits for your decision.</a>' in page.text
    assert page.text.index("waits for your decision") < page.text.index('id="tracks"')
    of_mark = studio.get("/studio?mark=held")
    assert decision in of_mark.text
    assert marked_in(of_mark) == {three[0]["id"]: "Held"}


def test_deleted_tracks_are_listed_by_themselves(client, alice, three, studio):
    client.delete(f"/tracks/{three[1]['id']}", headers=alice.headers)
    assert titles_of(studio.get("/studio")) == ["Gamma", "Alpha"]
    assert titles_of(studio.get("/studio?mark=deleted")) == ["Beta"]


def test_tracks_that_the_browser_shows_already_get_their_mark_whatever_the_page_lists(
    world, three, studio, monkeypatch
):
    monkeypatch.setattr(my_tracks, "PAGE", 2)
    alpha, beta, gamma = (track["id"] for track in three)
    rows = f"row={alpha}&row={beta}&row=999"
    page = studio.get(f"/studio?{rows}")
    assert titles_of(page) == ["Gamma", "Beta"]
    assert marked_in(page) == {gamma: "On its way", beta: "On its way", alpha: "On its way"}
    [(rest, listed)] = re.findall(r'hx-get="([^"]+)" hx-select="#(\w+) > li"', page.text)
    assert (titles_of(studio.get(unescape(rest))), f'id="{listed}"' in page.text) == (["Alpha"], True)
    world.deliver()
    page = studio.get(f"/studio?mark=on-its-way&{rows}")
    assert titles_of(page) == []
    assert marked_in(page) == {beta: "On your PDS", alpha: "On your PDS"}


def picked(studio, tracks):
    ticked = [*(("id", str(track["id"])) for track in tracks), ("action", "copy")]
    return send(studio, studio.get("/studio"), "/studio/selection", ticked=ticked)


def test_a_form_with_more_tracks_than_a_page_selects_is_refused_whole(world, three, studio):
    asked, before = picked(studio, three[:1]), world.state()
    more = [("id", str(number)) for number in range(1000, 1000 + MAX_PAGE_LENGTH)]
    refused = send(studio, asked, "/studio/copy", ticked=more)
    assert (refused.status_code, world.state()) == (422, before)
    assert "Select at most 100 tracks at a time. Nothing was changed." in refused.text
    odd = send(studio, asked, "/studio/copy", ticked=[("id", "9" * 5000), ("id", "x")])
    assert "of 1 on your PDS" in odd.text


def test_a_form_whose_time_is_up_names_the_tracks_that_are_left(three, studio, monkeypatch):
    monkeypatch.setattr(my_tracks, "MAX_COPY_SECONDS", -1.0)
    left = send(studio, picked(studio, three[:2]), "/studio/copy")
    assert left.text.count("Not asked for") == 2
