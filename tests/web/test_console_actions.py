"""The console in this process: what is done to rows of its tables, alone or ticked, and who is hit."""

import re
from html import unescape
from urllib.parse import quote

import pytest
from sqlalchemy import update

from outbox.mirror.lanes import park_lane
from outbox.mirror.tables import mirror_target
from tests.api.ops.requests import cannot_be_made, rejected
from tests.api.world import upload
from tests.fake_pds.scripted_pds import HOST
from tests.web.pages import said
from tests.web.studio.forms import form_to, send

TABLES = ("/ops/records", "/ops/lanes", "/ops/hosts", "/ops/failures", "/ops/jobs", "/ops/hit?host=" + HOST)
TICK = re.compile(r'<input type="checkbox" name="on" value="([^"]+)"')
BUTTON = re.compile(r'name="only" value="([^"]+)"')


@pytest.fixture
def refused(world, alice, client):
    cannot_be_made(world, "a-source")
    return rejected(world, client, alice, 1, 2, 3)


def ticked(page):
    return [unescape(each) for each in TICK.findall(page.text)]


def confirms(admin, asked):
    return send(admin, asked, "/ops/actions", reason="r")


def asked_for(asked):
    return [value for name, value in form_to(asked, "/ops/actions").fields if name == "on"]


@pytest.mark.usefixtures("refused")
def test_each_row_can_be_ticked_or_acted_on_alone_and_each_action_is_counted_first(subtests, admin):
    for screen in TABLES:
        with subtests.test(screen):
            assert_asks_before_each_action(admin, admin.get(screen))
    acted = admin.get("/audit", params={"type": "OperatorActed"}, headers={"Accept": "*/*"})
    assert acted.json()["items"] == []


def assert_asks_before_each_action(admin, page):
    assert page.text.count('<form method="post" action="/ops/actions" class="choice">') == 1
    assert ticked(page)
    actions = re.findall(r'name="action" value="(\w+)"', page.text)
    tries = [{"action": each, "on": ticked(page)} for each in actions]
    tries += [{"only": unescape(each)} for each in BUTTON.findall(page.text)]
    for form in tries:
        asked = admin.post("/ops/actions", data={"back": "/ops", **form})
        assert asked.status_code == 200, (form, asked.text)
        assert re.search(r"<h1>(.+\?|Nothing to do)</h1>", asked.text), form


def test_ticked_records_are_redriven_and_no_other(admin, world, refused):
    one, two, three = refused
    page = admin.get("/ops/records")
    chosen = [f"record={track['atproto_record_uri']}" for track in (one, three)]
    assert set(chosen) < set(ticked(page))
    asked = admin.post("/ops/actions", data={"action": "redrive", "on": chosen, "back": "/ops/records"})
    assert "Redrive 2 records?" in asked.text
    done = confirms(admin, asked)
    assert "Tried again: 2" in done.text
    assert "2 of 2 wait for their turn" in done.text
    world.deliver()
    assert [world.record(track) is not None for track in (one, two, three)] == [True, False, True]
    assert "None waits or fails any more" in admin.get(str(done.url)).text
    entry = next(each for each in admin.get("/ops/audit").text.split("<li>") if "had tried again" in each)
    assert one["atproto_record_uri"] in entry or three["atproto_record_uri"] in entry


def test_a_record_is_sent_again_from_its_attempts(admin, world, refused):
    page = admin.get(f"/ops/tracks/{refused[1]['id']}")
    (send_again,) = BUTTON.findall(page.text)
    assert "Send again</button>" in page.text
    confirms(admin, admin.post("/ops/actions", data={"only": unescape(send_again)}))
    world.deliver()
    assert world.record(refused[1]) is not None
    assert BUTTON.findall(admin.get(f"/ops/tracks/{refused[1]['id']}").text) == []


def test_an_attempt_shows_its_request_its_answer_and_how_long_it_took(admin, refused):
    page = said(admin.get(f"/ops/tracks/{refused[0]['id']}").text)
    (attempt,) = re.findall(r"Request and answer (.+?) \d+ \w+ 20\d\d", page)
    uri = refused[0]["atproto_record_uri"]
    assert re.fullmatch(
        rf"Request putRecord, or applyWrites of several Record {uri} Sent \w+ If it held nothing Answer 400 InvalidRecord",
        attempt,
    )
    assert re.search(r"answer 400: InvalidRecord, after \d+\.\d\d s", page)


def test_what_of_many_is_no_longer_as_it_was_counted_is_asked_again_by_name_and_the_rest_is_done(
    admin, world, alice, bob, client
):
    for person, seed in ((alice, 1), (bob, 2)):
        rejected(world, client, person, seed)
    chosen = [f"did={person.did}" for person in (alice, bob)]
    asked = admin.post("/ops/actions", data={"action": "redrive", "on": chosen, "back": "/ops/lanes"})
    assert "Redrive 2 records?" in asked.text
    rejected(world, client, bob, 3)
    again = confirms(admin, asked)
    assert "Done: 1. Nothing was changed of what is named here." in again.text
    assert "2 would change now, and not 1 as expected" in again.text
    assert "Redrive 2 records?" in again.text
    assert asked_for(again) == [f"did={bob.did}"]
    assert alice.did not in again.text
    assert "Tried again: 2" in confirms(admin, again).text


def test_what_is_gone_meanwhile_is_named_beside_what_can_be_done(admin, alice):
    chosen = ["did=did:plc:none", f"did={alice.did}"]
    asked = admin.post("/ops/actions", data={"action": "pause", "on": chosen, "back": "/ops/lanes"})
    assert "nothing is known of" in asked.text
    assert "Pause 1 account?" in asked.text
    assert asked_for(asked) == [f"did={alice.did}"]
    assert "Paused: 1" in confirms(admin, asked).text


def test_a_form_without_a_tick_says_so(admin):
    asked = admin.post("/ops/actions", data={"action": "pause", "back": "/ops/lanes"})
    assert "Nothing is ticked." in asked.text
    assert 'action="/ops/actions"' not in asked.text


def test_lanes_are_found_and_acted_on_by_handle_as_by_did(admin, alice, bob):
    for name in ("alice.test", "@Alice.test ", alice.did):
        listed = admin.get("/ops/lanes", params={"did": name}).text
        assert f'href="/ops/lanes/{alice.did}"' in listed
        assert bob.did not in listed
        for screen in ("lanes", "accounts"):
            assert f"<code>{alice.did}</code>" in admin.get(f"/ops/{screen}/{quote(name)}").text
        assert alice.did in admin.get("/ops/repairs", params={"did": name}).text
    started = admin.post("/ops/repairs", data={"did": "@alice.test", "reason": "r"})
    assert alice.did in started.text


def test_records_are_found_by_handle_and_by_the_field_that_they_are_refused_for(admin, world, refused):
    title, *others = (f"/ops/tracks/{each['id']}" for each in refused)
    of_title = mirror_target.c.subject_id == refused[0]["id"]
    words = "InvalidRecord: Record/title must not be longer"
    world.execute(update(mirror_target).where(of_title).values(last_error=words))
    found = admin.get("/ops/records", params={"did": "@alice.test", "field": "title"}).text
    assert title in found
    assert not [each for each in others if each in found]
    assert 'value="@alice.test"' in found
    hit = admin.get("/ops/hit?field=title").text
    assert "1 artist<" in hit
    assert title not in admin.get("/ops/records?did=bob.test").text


def test_those_who_are_hit_are_listed_to_be_copied_with_what_they_can_be_told(
    admin, world, alice, bob, client
):
    rejected(world, client, alice, 1, 2)
    rejected(world, client, bob, 3)
    (cause,) = re.findall(r'href="/ops/failures/([0-9a-f]{16})"', admin.get("/ops/failures").text)
    assert f'href="/ops/hit?cause={cause}"' in admin.get(f"/ops/failures/{cause}").text
    page = admin.get(f"/ops/hit?cause={cause}")
    assert "2 artists<" in page.text
    copied = re.findall(r'<div class="snippet"><pre[^>]*><code>(.*?)</code>', page.text, re.DOTALL)
    assert copied[0] == "Your PDS refuses it: InvalidRecord. Change it, or try again. Your changes are kept."
    assert set(copied[1].split()) == {"@alice.test", "@bob.test"}
    with world.database.write() as connection:
        park_lane(connection, bob.did)
    upload(client, bob, seed=4)
    (link,) = re.findall(r'href="(/ops/hit\?state=parked[^"]+)"', admin.get("/ops").text)
    parked = admin.get(unescape(link)).text
    assert "You have to sign in again. Your changes are kept." in parked
    assert "@alice.test" not in parked
    assert "No artist: nothing waits for it." in admin.get("/ops/hit?state=held").text
