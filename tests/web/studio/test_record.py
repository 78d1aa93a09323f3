"""Three columns of a record, and another program's change decided field by field."""

import json
import re
from html import unescape

import pytest

from tests.api.records.test_resolve import edited_elsewhere, held
from tests.api.world import upload
from tests.web.studio.forms import form_to, send
from web.pages.studio.record import FOREIGN_CHARACTERS

AGREE = "All three agree: the record on your PDS is as mastertape wants it, checked <time"
TECHNICAL = "For programs:"
ISO = re.compile(r"\d{4}-\d\d-\d\dT")


@pytest.fixture
def conflict(world, client, alice):
    return held(world, client, alice, title="theirs", album="their album")


@pytest.fixture
def delivered(world, client, alice):
    track = upload(client, alice)
    world.deliver()
    return track


def test_a_record_that_agrees_is_said_in_one_sentence_and_the_columns_are_folded(world, studio, delivered):
    page = studio.get(f"/studio/tracks/{delivered['id']}/pds")
    assert page.text.index(AGREE) < page.text.index("<summary>Field by field") < page.text.index("<table")
    assert ISO.search(re.sub(r"<time [^>]*>", "", page.text.split(TECHNICAL)[0])) is None
    found = json.loads(unescape(page.text.split("<pre")[1].split("<code>")[1].split("</code>")[0]))
    assert found == {
        name: value for name, value in world.record(delivered).items() if name != "mastertapeGen"
    }


def test_a_long_value_of_another_program_is_cut_in_the_columns_and_whole_in_the_json(
    world, studio, delivered
):
    edited_elsewhere(world, delivered, waveform="7" * 2_000)
    page = studio.get(f"/studio/tracks/{delivered['id']}/pds").text
    told, technical = page.split(TECHNICAL)
    assert f"{'7' * FOREIGN_CHARACTERS}… (2,000 characters)" in told
    assert "7" * (FOREIGN_CHARACTERS + 1) not in told
    assert "7" * 2_000 in technical


def test_a_record_that_cannot_be_read_is_not_said_to_agree(world, studio, delivered):
    world.pds.away = True
    page = studio.get(f"/studio/tracks/{delivered['id']}/pds").text
    assert "Your PDS could not be read just now" in page
    assert AGREE not in page
    assert "ConnectError" not in page.split(TECHNICAL)[0]
    assert "confirmed it last" in page


def test_attempts_are_told_in_words_and_the_answers_of_the_pds_are_folded(studio, conflict):
    page = studio.get(f"/studio/tracks/{conflict['id']}/pds").text
    told, technical = page.split(TECHNICAL)
    assert AGREE not in told
    assert "Change: your PDS had another version than expected" in told
    assert "Change: your PDS took it" in told
    assert "InvalidSwap" not in told
    assert "400 InvalidSwap" in technical


@pytest.fixture
def retitled(world, client, alice):
    """A track of which another program changed the title alone."""
    return held(world, client, alice, title="theirs")


@pytest.mark.parametrize(("button", "title"), [("Keep mine", "first"), ("Take theirs", "theirs")])
def test_a_single_field_is_decided_by_one_of_two_buttons(world, studio, retitled, button, title):
    here = f"/studio/tracks/{retitled['id']}"
    page = studio.get(f"{here}/pds")
    form = page.text.split(f'action="{here}/decide"')[1].split("</form>")[0]
    assert re.findall(r"<button[^>]*>([^<]+)<", form) == ["Keep mine", "Take theirs"]
    assert 'type="radio"' not in form
    name, value = re.search(
        rf'<button class="button quiet" name="([^"]+)" value="([^"]+)">{button}<', form
    ).groups()
    assert "Decided." in send(studio, page, f"{here}/decide", **{name: value}).text
    world.deliver()
    assert world.record(retitled)["title"] == title


def test_a_single_field_of_which_theirs_cannot_stay_offers_mine_alone(world, client, studio, alice):
    track = held(world, client, alice, fileType="ogg")
    page = studio.get(f"/studio/tracks/{track['id']}/pds").text
    assert "Cannot be kept:" in page
    assert "Keep mine" in page
    assert "Take theirs" not in page


def test_an_incomplete_decision_changes_nothing_and_keeps_what_was_chosen(world, studio, conflict):
    here = f"/studio/tracks/{conflict['id']}"
    page = send(studio, studio.get(f"{here}/pds"), f"{here}/decide", **{"side.title": "theirs"})
    assert page.status_code == 400
    assert 'role="alert"' in page.text
    assert ("side.title", "theirs") in form_to(page, f"{here}/decide").fields
    assert world.record(conflict)["title"] == "theirs"
