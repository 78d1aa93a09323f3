"""The timeline, the track as it was, and the way back."""

import re
from datetime import timedelta
from html import unescape

import pytest

from api.requests.parameters import MAX_PAGE_LENGTH
from identity.accounts.credentials import Scope
from replay.derived import sweep_media
from tests.api.tracks.long_history import lengthen
from tests.api.world import upload
from tests.media_samples import samples
from tests.web.pages import assert_small, event, seen
from tests.web.studio.forms import send
from web.pages.studio.history import PAGE


@pytest.fixture
def track(world, client, alice):
    track = upload(client, alice, title="First Take", album="One")
    client.patch(f"/tracks/{track['id']}", json={"title": "Second", "album": "Two"}, headers=alice.headers)
    world.deliver()
    return track


def now(client, person, track):
    return client.get(f"/tracks/{track['id']}", headers=person.headers).json()


@pytest.fixture
def edit(client, alice, track):
    return lambda **fields: client.patch(f"/tracks/{track['id']}", json=fields, headers=alice.headers)


@pytest.fixture
def shown(client, alice, track):
    return lambda *names: [now(client, alice, track)[name] for name in names]


@pytest.fixture
def happened(world, track):
    return lambda: world.events(track["id"])


def versions(page):
    return [int(each) for each in re.findall(r'class="event" id="v(\d+)"', page.text)]


def test_the_timeline_tells_each_change_by_whom_and_that_it_arrived(studio, here):
    page = studio.get(f"{here}/history")
    told = event(page, 2)
    assert '<strong>t</strong> changed the title and album<span class="soft">, acting for you' in told
    assert seen(told, "Title") == "Title was First Take → now Second"
    assert "On your PDS" in told
    assert "commit" not in told
    assert "uploaded the track" in event(page, 1)
    assert seen(event(studio.get(here), 2), "Title") == seen(told, "Title")


def test_who_signed_in_with_an_app_password_is_the_person_and_a_named_program_is_not(
    world, client, track, studio, here
):
    for name in ("app password", "label catalogue bot"):
        headers = world.sign_in("alice", called=name).headers
        client.patch(f"/tracks/{track['id']}", json={"tags": [name]}, headers=headers)
    page = studio.get(f"{here}/history")
    by_hand = '<strong>You</strong> changed the tags<span class="soft">, signed in with an app password<'
    assert by_hand in event(page, 3)
    by_bot = '<strong>label catalogue bot</strong> changed the tags<span class="soft">, acting for you<'
    assert by_bot in event(page, 4)


def test_a_program_that_was_named_as_another_before_names_were_reserved_is_told_as_a_program(
    world, client, track, studio, here
):
    for version, name in enumerate(("The operator", "master\u200btape"), 3):
        headers = world.sign_in("alice", called=name).headers
        client.patch(f"/tracks/{track['id']}", json={"title": f"Not mine: {version}"}, headers=headers)
        told = event(studio.get(f"{here}/history"), version)
        assert f"<strong>A program named “{name}”</strong> changed the title" in told


def test_an_entry_says_what_of_it_is_kept_off_the_pds(studio, here):
    send(studio, studio.get(here), here, tags="live")
    send(studio, studio.get(here), here, tags="live, tape", title="Third")
    page = studio.get(f"{here}/history")
    words = "Tags are kept here; they are not in the record on your PDS."
    assert [words in event(page, version) for version in (1, 2, 3, 4)] == [False, False, True, True]
    assert "On " not in event(page, 3).replace(words, "")
    assert "On its way" in event(page, 4)


def test_a_page_of_10_000_events_is_as_small_as_one_of_few(world, track, studio, here):
    lengthen(world.database, track["id"], 10_000)
    first = studio.get(f"{here}/history")
    assert_small(first)
    assert versions(first) == list(range(10_002, 10_002 - PAGE, -1))
    cursor = first.text.split("/history?cursor=")[1].split('"')[0]
    assert versions(studio.get(f"{here}/history?cursor={cursor}"))[0] == versions(first)[-1] - 1
    again = studio.get(f"{here}/history?rows=10000")
    assert_small(again)
    assert len(versions(again)) == MAX_PAGE_LENGTH


def test_single_fields_or_the_whole_are_put_back(client, alice, track, studio, here):
    then = studio.get(f"{here}/versions/1")
    assert "First Take</h1>" in then.text
    page = send(studio, then, f"{here}/revert", field="title")
    assert "Put back." in page.text
    assert (now(client, alice, track)["title"], now(client, alice, track)["album"]) == ("First Take", "Two")
    page = send(studio, studio.get(f"{here}/versions/1"), f"{here}/revert", whole="true")
    assert now(client, alice, track)["album"] == "One"
    assert "Nothing that shows is different today." in studio.get(f"{here}/versions/1").text


def ticked(page):
    return re.findall(r'name="field" value="(\w+)" checked', page.text)


def test_the_page_of_a_version_ticks_the_fields_that_its_change_changed(edit, shown, studio, here):
    edit(title="Third")
    edit(title="Fourth", description="Words.")
    assert ticked(studio.get(f"{here}/versions/3")) == ["title"]
    assert ticked(studio.get(f"{here}/versions/2")) == ["title"]
    page = studio.post(f"{here}/revert", data={"to_version": "1"})
    assert "No field was ticked, so nothing was put back." in page.text
    assert shown("title") == ["Fourth"]


def test_one_change_is_undone_and_those_after_it_stay(edit, shown, happened, studio, here):
    edit(description="Words.")
    page = studio.get(f"{here}/history")
    assert "Undo this change" not in event(page, 1)
    assert '<button class="button quiet small">Undo this change</button>' in event(page, 2)
    studio.headers["Origin"] = "https://elsewhere.example"
    assert send(studio, page, f"{here}/versions/2/undo").status_code == 403
    del studio.headers["Origin"]
    assert "The change is undone." in send(studio, page, f"{here}/versions/2/undo").text
    assert shown("title", "album", "description") == ["First Take", "One", "Words."]
    events = happened()
    undone, undid = (event(studio.get(f"{here}/history"), version) for version in (2, 4))
    assert "Undone: nothing of it is left" in undone
    assert "Undo this change" not in undone
    assert "undid version 2, which changed the title and album" in undid
    assert "Undo this change" in undid
    assert "Undo this change" not in studio.get(f"{here}/versions/2").text
    again = send(studio, page, f"{here}/versions/2/undo")
    assert "nothing was changed" in again.text
    assert happened() == events
    assert "Undo this change" not in studio.get(f"{here}/versions/1").text
    send(studio, studio.get(f"{here}/versions/4"), f"{here}/versions/4/undo")
    assert shown("title", "album", "description") == ["Second", "Two", "Words."]


def test_a_change_that_was_overtaken_is_not_undone_before_its_owner_has_looked(
    edit, shown, happened, studio, here
):
    page = studio.get(f"{here}/history")
    edit(title="Third", tags=["x"])
    events = happened()
    choice = send(studio, page, f"{here}/versions/2/undo")
    assert choice.url.path == f"{here}/versions/1"
    assert "Nothing is undone yet" in choice.text
    assert ticked(choice) == ["title", "album"]
    assert happened() == events
    send(studio, choice, f"{here}/revert")
    assert shown("title", "album", "tags") == ["First Take", "One", ["x"]]


def test_an_undone_change_is_told_so_on_a_later_page_of_the_timeline(edit, studio, here, monkeypatch):
    monkeypatch.setattr("web.pages.studio.history.PAGE", 2)
    edit(title="First Take", album="One")
    edit(description="Words.")
    first = studio.get(f"{here}/history")
    cursor = first.text.split("/history?cursor=")[1].split('"')[0]
    assert versions(first) == [4, 3]
    assert "undid version" not in event(first, 3)
    assert "Undone: nothing of it is left" in event(studio.get(f"{here}/history?cursor={cursor}"), 2)


NOTES = "Recorded in one go, at home, on the last warm evening of the year. " * 8


def test_a_long_text_is_folded_and_its_changes_are_told_word_by_word(edit, studio, here):
    edit(description=NOTES)
    edit(description=NOTES.replace("at home", "in the barn", 1))
    page = studio.get(f"{here}/history")
    assert "<summary>Recorded in one go" in event(page, 3)
    told = event(page, 4)
    assert "<del> at home,</del>" in told
    assert "<ins> in the barn,</ins>" in told
    assert len(told) < 3_000
    compared = studio.get(f"{here}/compare?from=3&to=4").text
    assert "<del> at home,</del>" in compared.split('data-label="Version 3"')[1].split("</td>")[0]
    assert "<ins> in the barn,</ins>" in compared.split('data-label="Version 4"')[1].split("</td>")[0]


def test_two_versions_that_are_ticked_are_compared_and_one_alone_with_today(edit, studio, here):
    for title in ("Third", "Fourth"):
        edit(title=title)
    assert studio.get(f"{here}/history").text.count('form="pair"') == 4
    headings = [
        re.search("<h1>([^<]+)", studio.get(f"{here}/compare?{ticked}").text)[1]
        for ticked in ("version=3&version=1", "version=1")
    ]
    assert headings == [f"Version 1 and version {later} of Fourth" for later in (3, 4)]


def covers(page):
    return [unescape(each) for each in re.findall(r'<img class="cover[^"]*" src="([^"]+)"', page.text)]


@pytest.fixture
def covered(studio, here):
    """The track with a second cover; its third version has the first one."""
    for size in (600, 300):
        image = {"image": ("cover.png", samples.png(size, size), "image/png")}
        send(studio, studio.get(here), f"{here}/files/cover", files=image)


@pytest.mark.usefixtures("covered")
def test_the_page_of_a_version_shows_its_cover_while_that_is_kept(world, studio, here):
    assert covers(studio.get(f"{here}/versions/1")) == []
    (then,) = covers(studio.get(f"{here}/versions/3"))
    (now,) = covers(studio.get(f"{here}/versions/4"))
    assert then != now
    kept = "The track no longer has this cover. It is kept for at least 30 days from then."
    assert kept in studio.get(f"{here}/versions/3").text
    assert kept not in studio.get(f"{here}/versions/4").text
    for address in (then, now):
        assert studio.get(address, headers={"Accept": "*/*"}).headers["content-type"] == "image/webp"
    sweep_media(world.made.media, timedelta(0))
    page = studio.get(f"{here}/versions/3")
    assert (
        "The cover of this version is no longer kept: what was replaced is kept for 30 days only."
        in page.text
    )
    assert covers(page) == []
    assert covers(studio.get(f"{here}/versions/4")) == [now]
    assert "no longer kept" not in studio.get(f"{here}/versions/1").text


@pytest.mark.usefixtures("covered")
def test_the_pages_of_a_track_that_was_taken_down_show_its_owner_no_broken_picture(
    world, client, track, studio, here
):
    admin = world.sign_in("admin", scope=Scope.ADMIN)
    takedown = f"/ops/tracks/{track['id']}/takedown"
    assert client.post(takedown, json={"reason": "r"}, headers=admin.headers).status_code == 200
    for path in ("/studio", here, f"{here}/versions/3", f"/@{track['artist_handle']}/{track['id']}"):
        page = studio.get(path)
        assert page.status_code == 200
        assert covers(page) == []
        assert "<audio" not in page.text
        assert "taken" in page.text
