"""The console in this process: what it says of records, tracks and the audit, in words a person understands."""

import re

import pytest
from sqlalchemy import delete, update

from aggregates.accounts.account import Account
from aggregates.published import event_classes
from api.responses.states import LaneState, MirrorReason
from application.operators import APPLY, CANCEL, END_TOKENS, LIFT, PLAN, RETRY, TAKEDOWN
from outbox.mirror.lanes import park_lane
from outbox.mirror.tables import mirror_lane, mirror_target
from outbox.operations.operators import Action
from projections.tracks.table import tracks
from service.cli.recovered import RECOVERED
from tests.api.ops.requests import rejected
from tests.api.world import upload
from tests.web.pages import said
from web.pages.ops.words import OPERATOR_ACTED
from web.state_words import WORDS

STAMP = re.compile(r'<time class="utc" datetime="[^"]+">[^<]+ UTC \(just now\)</time>')


@pytest.fixture
def refused(world, alice, client):
    (track,) = rejected(world, client, alice, 1)
    return track


def test_records_say_in_words_since_when_and_why_and_whose_they_are(client, admin, world, alice, refused):
    with world.database.write() as connection:
        park_lane(connection, alice.did)
    parked = upload(client, alice, seed=2)
    for screen in ("/ops/records", f"/ops/accounts/{alice.did}"):
        page = admin.get(screen)
        rows = {track["id"]: row_of(page.text, track) for track in (refused, parked)}
        assert "Refused by the PDS" in rows[refused["id"]]
        assert "InvalidRecord" in rows[refused["id"]]
        assert "Parked" in rows[parked["id"]]
        assert "Waits until the owner signs in." in rows[parked["id"]]
        for track, row in zip((refused, parked), rows.values(), strict=True):
            assert f'href="/ops/tracks/{track["id"]}">{track["title"]}</a>' in row
            assert STAMP.search(row)
            assert f'href="/ops/lanes/{alice.did}"' in row
    assert "@alice.test" in row_of(admin.get("/ops/records").text, parked)
    assert f'/ops/tracks/{parked["id"]}"' not in admin.get("/ops/records?state=rejected").text
    assert "@alice.test" in re.findall("<h1>.*</h1>", admin.get(f"/ops/accounts/{alice.did}").text)[0]


def test_a_record_is_listed_while_the_read_model_has_no_row_of_its_track(admin, world, refused):
    world.execute(delete(tracks))
    row = row_of(admin.get("/ops/records").text, refused)
    assert "Its title is not known" in row
    assert "InvalidRecord" in row


def test_a_record_that_needs_another_consent_says_what_to_do_also_on_the_first_screen(admin, world, refused):
    world.execute(update(mirror_target).values(reason=MirrorReason.NEEDS_CONSENT))
    advice = "Ask the artist to sign in again, and to allow records of this kind."
    assert advice in admin.get("/ops").text
    assert advice in row_of(admin.get("/ops/records").text, refused)


def test_no_record_is_answered_with_a_route_or_a_command(client, admin, world, alice, refused):
    for lane in LaneState:
        world.execute(update(mirror_lane).where(mirror_lane.c.did == alice.did).values(state=lane))
        upload(client, alice, seed=10 + list(LaneState).index(lane))
        for screen in ("/ops/records", f"/ops/tracks/{refused['id']}", f"/ops/lanes/{alice.did}"):
            text = admin.get(screen).text.split('class="console-main"')[1]
            assert not re.search(r"<code>(GET|POST|PUT|PATCH|DELETE|mastertape) ", text), (lane, screen)


def row_of(page, track):
    rows = re.findall("<tr>.*?</tr>", page, re.DOTALL)
    (row,) = (each for each in rows if f'href="/ops/tracks/{track["id"]}"' in each)
    return row


def test_a_record_that_is_delivered_without_its_audio_says_both(client, admin, world, alice):
    track = upload(client, alice)
    world.deliver()
    here = f"/ops/tracks/{track['id']}"
    assert "Record delivered" in admin.get(here).text
    assert "refused" not in admin.get(here).text
    wants = {**alice.headers, "Prefer": "wait=0", "Accept": "application/json"}
    admin.post(f"/tracks/{track['id']}/migrate-to-pds", headers=wants)
    world.pds.upload_refusal = (400, "InvalidMimeType")
    world.deliver()
    for screen in (here, f"/ops/accounts/{alice.did}", "/ops/records"):
        page = admin.get(screen).text
        assert "Record delivered, its audio refused" in page
        assert "InvalidMimeType" in page
        assert "Record delivered<" not in page


@pytest.mark.usefixtures("refused")
def test_the_audit_says_who_did_what_to_whom_why_and_when(admin, alice):
    on = f"did={alice.did}"
    form = {"action": "pause", "on": on, "expected": "1", "reason": "they asked for it"}
    admin.post("/ops/actions", data=form)
    page = admin.get("/ops/audit").text
    (entry,) = (each for each in page.split("<li>") if "they asked for it" in each)
    words = said(entry)
    assert words.startswith("@admin.test paused @alice.test : 1 account Why: they asked for it")
    assert alice.did in words.partition("Details")[0], "small, below the handles"
    assert "OperatorActed" in words.partition("Details")[2], "the raw data is folded"
    assert STAMP.search(entry)


def test_no_text_of_an_artist_makes_a_line_of_its_own_in_the_audit(admin, client, alice):
    track = upload(client, alice)
    client.patch(f"/tracks/{track['id']}", json={"description": "x\ntitle: a → b"}, headers=alice.headers)
    assert "description: nothing → x title: a → b" in admin.get("/ops/audit").text


def test_the_audit_has_a_sentence_for_each_event_and_action():
    assert WORDS.account_events.keys() == {each.__name__ for each in event_classes(Account)} - {
        OPERATOR_ACTED
    }
    actions = {*Action, TAKEDOWN, LIFT, PLAN, APPLY, CANCEL, RETRY, END_TOKENS, RECOVERED}
    assert WORDS.operator_actions.keys() == actions


def test_the_audit_is_searched_by_handle(client, admin, alice, bob):
    upload(client, alice)
    upload(client, bob, seed=2)
    for field in ("actor", "did"):
        page = admin.get(f"/ops/audit?{field}=@alice.test").text
        assert "uploaded the track" in page
        assert "@bob.test" not in page
    assert 'value="@alice.test"' in page


def test_an_operator_who_only_looks_is_told_how_to_act(admin, looks_only):
    act = "/auth/login?scope=admin&amp;return_to=/ops/hosts%3Ffailing%3Dtrue"
    assert act not in admin.get("/ops/hosts?failing=true").text
    looks_only()
    assert f'href="{act}"' in admin.get("/ops/hosts?failing=true").text


def test_the_console_asks_a_visitor_to_sign_in_as_an_operator(browser):
    page = browser.get("/ops/hosts").text
    links = re.findall(r'href="(/auth/login[^"]*)"', page)
    asked = "/auth/login?return_to=%2Fops%2Fhosts&amp;scope="
    assert links == [f"{asked}operator", f"{asked}operator", f"{asked}admin"]  # in the bar, and in the page
