"""Fields of many tracks in a table: one save, one undo, and what was refused by row."""

import re

import pytest

from tests.api.world import upload
from tests.web.pages import assert_small
from tests.web.studio.forms import send


@pytest.fixture
def three(client, alice):
    return [
        upload(client, alice, title=title, seed=at) for at, title in enumerate(("Alpha", "Beta", "Gamma"), 1)
    ]


def table(studio, *tracks):
    page = studio.get("/studio/table", params={"id": [track["id"] for track in tracks]})
    assert page.status_code == 200
    return page


def read(client, track):
    shown = client.get(f"/tracks/{track['id']}", headers={"Accept": "application/json"}).json()
    return shown["title"], shown["album"], shown["tags"], shown["unlisted"], shown["downloads"]


def saves(studio, page, **changes):
    return send(studio, page, "/studio/table", **changes)


def undoes(studio, page):
    return send(studio, page, "/studio/table/undo")


def test_many_tracks_are_saved_at_once_and_undone_at_once(client, studio, three):
    one, two, three_ = three
    page = table(studio, *three)
    assert_small(page)
    before = [read(client, track) for track in three]
    changed = {
        f"title-{one['id']}": "First",
        f"tags-{two['id']}": "live, tape",
        f"unlisted-{two['id']}": "true",
    }
    saved = saves(studio, page, **changed)
    assert "Saved: 2 tracks." in saved.text
    assert read(client, one) == ("First", None, [], False, "open")
    assert read(client, two) == ("Beta", None, ["live", "tape"], True, "open")
    back = undoes(studio, saved)
    assert "Undone: 2 tracks are as before." in back.text
    assert [read(client, track) for track in three] == before
    assert "Saved" not in saves(studio, back).text
    assert (
        three_["version"]
        == client.get(f"/tracks/{three_['id']}", headers={"Accept": "application/json"}).json()["version"]
    )


def test_what_is_typed_for_all_goes_into_every_row(client, studio, three):
    saved = saves(studio, table(studio, *three), **{"album-all": "Tape", "downloads-all": "off"})
    assert "Saved: 3 tracks." in saved.text
    assert [read(client, track)[1:] for track in three] == [("Tape", [], False, "off")] * 3


def test_nothing_is_saved_where_a_row_is_refused_which_says_why_and_keeps_what_was_typed(
    client, alice, studio, three
):
    one, two, three_ = three
    page = table(studio, *three)
    client.patch(f"/tracks/{three_['id']}", json={"album": "theirs"}, headers=alice.headers)
    changed = {f"title-{one['id']}": "First", f"title-{two['id']}": "", f"album-{three_['id']}": "mine"}
    refused = saves(studio, page, **changed)
    assert refused.status_code == 409
    assert "Nothing was saved. One track cannot be, as marked below." in refused.text
    (row,) = re.findall(r'<tr class="differs">.*?</tr>', refused.text, re.DOTALL)
    assert f'href="/studio/tracks/{two["id"]}"' in row
    assert 'aria-label="Title of Beta" aria-invalid="true"' in row
    assert read(client, one)[0] == "Alpha"
    assert f'name="title-{one["id"]}" value="First"' in refused.text
    again = saves(studio, refused, **{f"title-{two['id']}": "Second"})
    assert again.status_code == 409
    assert "Meanwhile its album was saved as “theirs”; saving puts yours in its place." in again.text
    assert "Saved: 3 tracks." in saves(studio, again).text
    assert [read(client, track)[0] for track in three] == ["First", "Second", "Gamma"]
    assert read(client, three_)[1] == "mine"


def test_an_undo_overwrites_no_later_change(client, alice, studio, three):
    one, two, _ = three
    page = table(studio, one, two)
    saved = saves(studio, page, **{"album-all": "Tape"})
    client.patch(f"/tracks/{two['id']}", json={"title": "Later"}, headers=alice.headers)
    refused = undoes(studio, saved)
    assert "Nothing was saved. One track cannot be, as marked below." in refused.text
    assert (read(client, one)[1], read(client, two)[:2]) == ("Tape", ("Later", "Tape"))
    assert studio.post("/studio/table/undo", data={"saved": "1.x.2"}).status_code == 422


def test_the_selected_tracks_are_edited_or_the_newest_and_never_those_of_others(client, bob, studio, three):
    theirs = upload(client, bob, title="Theirs", seed=9)
    assert 'formaction="/studio/table"' in studio.get("/studio").text
    assert "Edit 1 track<" in table(studio, three[0], theirs).text
    assert "Edit 3 tracks<" in studio.get("/studio/table").text
