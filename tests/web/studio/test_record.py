"""Three columns of a record, and another program's change decided field by field."""

import pytest

from tests.api.records.test_resolve import held
from tests.web.studio.forms import form_to, send


@pytest.fixture
def conflict(world, client, alice):
    return held(world, client, alice, title="theirs", album="their album")


def test_the_columns_mark_what_differs(sign_in, alice, conflict):
    page = sign_in(alice).get(f"/studio/tracks/{conflict['id']}/pds")
    title = page.text.split('<th scope="row">Title')[1].split("</tr>")[0]
    assert title.count("first") == 2
    assert title.split('class="differs">')[1].startswith("theirs")


def test_each_field_is_decided_by_itself(world, sign_in, alice, conflict):
    here = f"/studio/tracks/{conflict['id']}"
    browser = sign_in(alice)
    page = browser.get(here)
    assert "Another program changed this record on your PDS. You decide what stays." in page.text
    both = browser.get(f"{here}/pds")
    page = send(browser, both, f"{here}/decide", **{"side.title": "theirs", "side.album": "ours"})
    assert "Decided." in page.text
    world.deliver()
    record = world.record(conflict)
    assert (record["title"], record["album"]) == ("theirs", "two")


def test_an_incomplete_decision_changes_nothing_and_keeps_what_was_chosen(world, sign_in, alice, conflict):
    here = f"/studio/tracks/{conflict['id']}"
    browser = sign_in(alice)
    page = send(browser, browser.get(f"{here}/pds"), f"{here}/decide", **{"side.title": "theirs"})
    assert page.status_code == 400
    assert 'role="alert"' in page.text
    assert ("side.title", "theirs") in form_to(page, f"{here}/decide").fields
    assert world.record(conflict)["title"] == "theirs"
