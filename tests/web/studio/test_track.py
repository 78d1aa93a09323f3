"""The page of a track: editing loses nothing that was typed, whoever was first."""

import re

import pytest
from sqlalchemy import update

from outbox.mirror.tables import mirror_lane
from tests.api.records.test_resolve import held
from tests.api.world import upload
from tests.media_samples import samples
from tests.web.pages import said, seated
from tests.web.studio.forms import form_to, send


@pytest.fixture
def track(client, alice):
    return upload(
        client, alice, title="First Take", description="Recorded\nin one go.", tags=["demo", "live"]
    )


@pytest.fixture
def conflict(world, client, alice):
    return held(world, client, alice)


@pytest.fixture
def now(client, alice, track):
    headers = alice.headers
    return lambda: client.get(f"/tracks/{track['id']}", headers=headers).json()


def test_an_edit_is_saved_and_says_how_far_it_is(world, now, studio, here):
    page = send(studio, studio.get(here), here, title="Second Thoughts", tags="demo, Tape ,", unlisted="true")
    assert "Saved. It is being sent to your PDS." in page.text
    world.deliver()
    page = studio.get(str(page.url))
    words = "Tags and listing are kept here; they are not in the record on your PDS."
    assert f"Saved. {words} Your PDS has the rest as it is here." in page.text
    assert standing(page).startswith("On your PDS since")
    track = now()
    assert (track["title"], track["tags"], track["unlisted"]) == ("Second Thoughts", ["demo", "tape"], True)
    assert track["description"] == "Recorded\nin one go."


def standing(page):
    """The words beneath the cover: how far the track is, without marks of HTML."""
    return said(page.text.split('id="standing" data-live>')[1].split("<div")[0])


def test_an_edit_of_tags_alone_is_not_said_to_be_on_the_pds(world, studio, here):
    world.deliver()
    words = "Tags are kept here; they are not in the record on your PDS."
    page = studio.get(here)
    assert f"Separated by commas. {words}" in page.text
    page = send(studio, page, here, tags="demo")
    assert f"Saved. {words} Your PDS has the rest as it is here." in page.text
    assert "Your PDS has it" not in page.text
    first = r"The last change is kept here only the rest is on your PDS since \d+ \w+ \d{4}, \d\d:\d\d UTC "
    assert re.match(first + re.escape(words), standing(page))


def test_no_message_tells_of_tags_but_that_of_the_edit_that_set_them(world, studio, here):
    world.deliver()
    words = "kept here; they are not in the record"
    assert words in send(studio, studio.get(here), here, tags="demo").text.split('id="edit"')[0]
    send(studio, studio.get(here), here, title="Second")
    world.deliver()
    page = studio.get(f"{here}?done=saved")
    assert "Saved. Your PDS has it as it is here." in page.text
    assert words not in page.text.split('id="edit"')[0]
    page = send(studio, page, here, tags="")
    assert words not in page.text.split('id="edit"')[0]


def test_no_form_of_a_track_waits_for_the_pds(world, studio, here, monkeypatch):
    async def waits(*_for):
        raise AssertionError("a form waited for the PDS")

    monkeypatch.setattr(type(world.services.waits), "wait", waits)
    cover = {"image": ("cover.png", samples.png(), "image/png")}
    assert "Saved." in send(studio, studio.get(here), here, title="Second").text
    assert "The cover is set." in send(studio, studio.get(here), f"{here}/files/cover", files=cover).text
    assert "under way" in send(studio, studio.get(here), f"{here}/do/copy").text
    assert "undone" in send(studio, studio.get(here), f"{here}/versions/2/undo").text
    assert "Deleted." in send(studio, studio.get(here), f"{here}/do/delete").text


def saving(page):
    return page.text.split('id="saving" data-live>')[1].split("<")[0]


@pytest.fixture
def pause(world):
    def switch(is_paused):
        world.execute(update(mirror_lane).values(paused=is_paused))

    return switch


def test_the_form_says_when_a_change_to_a_track_on_the_pds_gets_there(world, pause, studio, here):
    world.deliver()
    assert saving(studio.get(here)) == "Goes to your PDS at once."
    pause(True)
    page = studio.get(here)
    assert "On your PDS" in standing(page)
    assert saving(page) == "Kept here for now. Deliveries to your PDS are paused."


def test_the_form_of_a_held_track_says_that_a_change_waits_for_the_decision(sign_in, alice, conflict):
    page = sign_in(alice).get(f"/studio/tracks/{conflict['id']}")
    assert saving(page).startswith("Kept here for now. Another program changed this record on your PDS.")


def test_a_form_sent_as_it_was_shown_changes_nothing(world, studio, here, track):
    page = send(studio, studio.get(here), here)
    assert "nothing was changed" in page.text
    assert world.events(track["id"]) == ["Created"]


def test_a_form_sent_twice_changes_the_track_once(world, studio, here, track):
    page = studio.get(here)
    send(studio, page, here, title="Once")
    again = send(studio, page, here, title="Once")
    assert again.status_code == 200
    assert world.events(track["id"]).count("MetadataUpdated") == 1


def test_what_a_field_cannot_hold_is_told_beside_it_and_what_was_typed_stays(world, studio, here, track):
    page = send(studio, studio.get(here), here, title="x" * 300, album="Kept")
    assert page.status_code == 400
    about = page.text.split('id="about-title"')[1].split("</div>")[0]
    assert "At most 256 bytes of UTF-8: 44 too many." in about
    assert ("album", "Kept") in form_to(page, here).fields
    assert ("title", "x" * 300) in form_to(page, here).fields
    assert world.events(track["id"]) == ["Created"]


def test_an_edit_of_an_older_version_shows_both_and_overwrites_neither(client, alice, now, studio, here):
    old = studio.get(here)
    client.patch(
        f"/tracks/{now()['id']}", json={"title": "By a program", "album": "Theirs"}, headers=alice.headers
    )
    page = send(studio, old, here, title="By hand", description="Typed for an hour.")
    assert page.status_code == 409
    assert "By a program" in page.text.split('id="about-title"')[1].split("</div>")[0]
    typed = dict(form_to(page, here).fields)
    assert (typed["title"], typed["album"]) == ("By hand", "Theirs")
    assert typed["description"] == "Typed for an hour."
    assert now()["title"] == "By a program"
    page = send(studio, page, here)
    assert "Saved." in page.text
    saved = now()
    assert (saved["title"], saved["album"], saved["description"]) == (
        "By hand",
        "Theirs",
        "Typed for an hour.",
    )


def test_cover_and_audio_are_replaced_by_forms_of_their_own(now, track, studio, here):
    cover = {"image": ("cover.png", samples.png(), "image/png")}
    page = send(studio, studio.get(here), f"{here}/files/cover", files=cover)
    assert "The cover is set." in page.text
    page = send(studio, page, f"{here}/files/audio", files={"file": ("b.mp3", samples.mp3(2), "audio/mpeg")})
    assert "The audio is replaced." in page.text
    assert now()["file_id"] != track["file_id"]
    page = send(studio, page, f"{here}/do/remove-cover")
    assert now()["image_url"] is None
    page = send(studio, page, f"{here}/files/audio", files={"file": ("b.txt", b"words", "text/plain")})
    assert page.status_code in {400, 415}
    assert 'role="alert"' in page.text


def test_another_artist_sees_neither_the_page_nor_what_is_on_it(sign_in, bob, here):
    page = sign_in(bob).get(here)
    assert page.status_code == 403
    assert "Recorded" not in page.text


FORM = "/studio/upload"


def sends(browser, audio, name="song.mp3", **fields):
    files = {
        "file": (name, audio, "application/octet-stream"),
        "image": ("", b"", "application/octet-stream"),
    }
    return send(browser, browser.get(FORM), FORM, files=files, **fields)


def test_the_same_audio_again_leads_to_its_track(client, sign_in, alice):
    track = upload(client, alice)
    page = sends(sign_in(alice), samples.mp3(1), title="Again")
    assert page.status_code == 409
    assert f'href="/studio/tracks/{track["id"]}"' in page.text


def test_a_file_may_be_larger_than_the_fields_of_other_forms(world, alice):
    browser = seated(world.serve(max_upload_bytes=5_000_000), alice)
    page = sends(browser, samples.tone(200), "long.wav", title="Long")
    assert page.status_code == 200, page.text
    assert "Uploaded." in page.text
