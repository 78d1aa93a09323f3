"""The console in this process: a track as its owner sees it, and how tracks and accounts are found."""

import re

import pytest

from outbox.mirror.lanes import park_lane
from tests.api.records.test_resolve import held
from tests.api.world import upload
from tests.web.pages import event, said, seen
from tests.web.studio.forms import send

AGREE = "All three agree: the record on its PDS is as mastertape wants it, checked <time"


@pytest.fixture
def delivered(client, world, alice):
    track = upload(client, alice, title="First Take")
    world.deliver()
    return track


@pytest.fixture
def here(delivered):
    return f"/ops/tracks/{delivered['id']}"


def main(page):
    """What the page says itself, without the menus around it."""
    return page.text.split('<div class="console-main">')[1].split("</main>")[0]


def says_your(page):
    return re.search(r"\byours?\b", main(page), re.IGNORECASE) is not None


def rows(page):
    found = re.findall("<tr>.*?</tr>", page.text.split("<tbody>")[1].split("</tbody>")[0], re.DOTALL)
    return [said(row) for row in found]


def reads(world):
    return world.pds.requests.count("getRecord")


def test_an_operator_sees_the_three_columns_that_the_owner_sees(world, admin, sign_in, alice):
    track = held(world, admin, alice, title="theirs", album="their album")
    page = admin.get(f"/ops/tracks/{track['id']}/record")
    assert 'class="differs">theirs' in page.text
    assert "until its owner has decided what stays" in page.text
    assert "<form" not in main(page)
    assert not says_your(page)
    assert rows(page) == rows(sign_in(alice).get(f"/studio/tracks/{track['id']}/pds"))


def test_only_the_screen_that_compares_asks_the_pds_and_only_when_it_is_opened(world, admin, here):
    before = reads(world)
    page = admin.get(here)
    assert reads(world) == before
    assert f'href="{here}/record"' in page.text
    compared = admin.get(f"{here}/record")
    assert reads(world) == before + 1
    assert AGREE in compared.text
    assert not says_your(compared)
    assert "data-live" not in main(compared), "a screen that reads itself again would ask the PDS each time"


def test_while_the_pds_is_away_the_other_two_columns_are_shown_and_why(world, admin, here):
    world.pds.away = True
    page = admin.get(f"{here}/record")
    assert page.status_code == 200
    assert "Its PDS could not be read just now" in page.text
    assert re.search("Why it could not be read: [^<]*ConnectError", page.text)
    assert AGREE not in page.text
    assert "Title First Take First Take not known" in rows(page)


def edit(admin, alice, track, **fields):
    assert admin.patch(f"/tracks/{track['id']}", json=fields, headers=alice.headers).status_code == 200


def test_an_operator_reads_the_timeline_as_its_owner_does(world, admin, sign_in, alice, delivered):
    edit(admin, alice, delivered, title="Second")
    world.deliver()
    found = admin.get(f"/tracks/{delivered['id']}/history", headers={"Accept": "*/*"}).json()["items"][0]
    page = admin.get(f"/ops/tracks/{delivered['id']}")
    told = event(page, 2)
    assert '<strong>t</strong> changed the title<span class="soft">, acting for @alice.test<' in told
    assert seen(told, "Title") == "Title was First Take → now Second"
    assert "On its PDS" in told
    assert f"commit <code>{found['delivery']['rev']}</code>" in told
    assert f"Event {found['position']}, request <code>{found['request_id']}</code>" in told
    assert "uploaded the track" in event(page, 1)
    assert "/studio/tracks" not in main(page)
    assert "Undo" not in main(page)
    assert not says_your(page)
    owners = event(sign_in(alice).get(f"/studio/tracks/{delivered['id']}"), 2)
    assert seen(owners, "Title") == seen(told, "Title")


def test_a_timeline_says_why_a_change_waits_and_what_of_it_is_kept_here(world, admin, alice, delivered, here):
    edit(admin, alice, delivered, downloads="off", tags=["live"])
    with world.database.write() as connection:
        park_lane(connection, alice.did)
    edit(admin, alice, delivered, title="Second")
    page = admin.get(here)
    newest = page.text.count('class="event"')
    assert "Parked. Waits until the owner signs in." in event(page, newest)
    assert "in the record on its PDS" in page.text
    assert "now the owner alone" in said(page.text)
    assert not says_your(page)


def test_a_timeline_names_the_operator_who_took_the_track_down_and_why_and_the_owners_does_not(
    admin, sign_in, alice, delivered, here
):
    admin.post(f"{here}/takedown", data={"lift": "false", "reason": "reported as stolen"})
    told = event(admin.get(here), 2)
    assert "<strong>@admin.test</strong> took the track down" in told
    assert "reported as stolen" in told
    assert "@admin.test" not in sign_in(alice).get(f"/studio/tracks/{delivered['id']}").text


@pytest.fixture(params=["album", "playlist", "profile"])
def other(request, world, admin, alice, delivered):
    """What alice has made of another kind, and what its page is called."""
    word, asks = request.param, alice.headers
    if word == "profile":
        made = admin.patch("/me", json={"bio": "I cut lacquers"}, headers=asks).json()["profile"]
    else:
        name = {"album": "title", "playlist": "name"}[word]
        fields = {name: "Pressings", "tracks": [{"track_id": delivered["id"]}]}
        made = admin.post(f"/{word}s", json=fields, headers=asks).json()
    world.deliver()
    return {**made, "word": word, "called": "Profile" if word == "profile" else "Pressings"}


def test_a_record_of_any_kind_is_looked_at_taken_down_and_found_by_its_address_all_the_same(admin, other):
    page = finds(admin, other["uri"])
    here = f"/ops/{other['word']}s/{other['id']}"
    [address] = re.findall(r'href="(/@[^"]+)">Its public page', page.text)
    assert (page.url.path, f"<h1>{other['called']}</h1>" in page.text) == (here, True)
    assert "On its PDS" in main(page)
    assert not says_your(page)
    compared = admin.get(f"{here}/record")
    assert AGREE in compared.text
    assert not says_your(compared)
    asked = send(admin, page, f"{here}/takedown")
    assert f"Take down {other['word']} {other['id']}?" in asked.text
    page = send(admin, asked, f"{here}/takedown", reason="reported as stolen")
    assert (page.url.path, "taken down <time" in page.text) == (here, True)
    found = finds(admin, f"http://127.0.0.1:8000{address}").url.path
    assert found == (here if other["word"] != "profile" else f"/ops/accounts/{address[2:]}")
    assert f'href="{here}">{other["word"]} {other["id"]}</a>' in admin.get("/ops/audit").text
    page = send(admin, send(admin, page, f"{here}/takedown"), f"{here}/takedown", reason="withdrawn")
    assert "taken down <time" not in page.text


def finds(admin, name):
    page = admin.get("/ops/find", params={"q": name})
    assert page.status_code == 200
    return page


def test_an_account_without_tracks_is_found_by_handle_and_did(admin, alice):
    handles = ("alice.test", "@Alice.test", "at://alice.test", "http://127.0.0.1:8000/@alice.test/")
    for name in (*handles, alice.did, f"at://{alice.did}"):
        page = finds(admin, name)
        assert page.url.path == f"/ops/accounts/{alice.did}", name
        assert "@alice.test" in page.text
        assert "No account with this DID is here now." not in page.text


def test_a_did_that_is_not_here_is_said_to_be_none(admin):
    assert "No account with this DID is here now." in finds(admin, "did:plc:none").text


def unlist(admin, alice, track):
    edit(admin, alice, track, unlisted=True)


def take_down(admin, _alice, track):
    admin.post(f"/ops/tracks/{track['id']}/takedown", data={"lift": "false", "reason": "r"})


def delete(admin, alice, track):
    admin.delete(f"/tracks/{track['id']}", headers=alice.headers)


def test_a_track_that_no_list_shows_is_found_by_the_uri_of_its_record(client, world, admin, alice):
    for seed, hide in enumerate((unlist, take_down, delete), 1):
        track = upload(client, alice, title="First Take", seed=seed)
        world.deliver()
        hide(admin, alice, track)
        world.deliver()
        uri = track["atproto_record_uri"]
        assert "First Take" not in finds(admin, "First").text, hide
        for name in (uri, f" {uri} ", uri.replace(alice.did, "alice.test")):
            assert finds(admin, name).url.path == f"/ops/tracks/{track['id']}", hide


def test_a_record_that_no_track_has_leads_to_its_account(admin, alice):
    page = finds(admin, f"at://{alice.did}/fm.plyr.track/none")
    assert "No track here has this record, or had it." in page.text
    assert f'href="/ops/accounts/{alice.did}"' in page.text
    for name in ("at://", "at://none.test/fm.plyr.track/none", "AC/DC", "Vol. 2"):
        assert "Nothing. Tracks that no list shows" in finds(admin, name).text
