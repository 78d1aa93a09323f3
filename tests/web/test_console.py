"""The console in this process: what operators see, and what admins do."""

import json
import re
from datetime import UTC, datetime
from html import unescape

import pytest
from sqlalchemy import insert, update

from api.middleware.http_layer import over_http
from bench.console import SCREENS as MEASURED
from bench.outage import Outage, fill
from identity.accounts.credentials import CredentialKind
from outbox.mirror.lanes import park_lane
from outbox.mirror.tables import pds_host
from tests.api.ops.requests import rejected, waits_an_hour
from tests.api.world import upload
from tests.dsl import A_RECORD, a_comment
from tests.fake_pds.scripted_pds import HOST
from tests.statements import recorded_statements
from tests.web.pages import said
from tests.web.studio.forms import send
from web.app import ROUTERS
from web.ask import MAX_FORM_BYTES

SCREENS = (
    "/ops",
    "/ops/failures",
    "/ops/records",
    "/ops/deliveries",
    "/ops/hit?state=rejected",
    "/ops/hosts",
    "/ops/lanes",
    "/ops/work",
    "/ops/jobs",
    "/ops/repairs",
    "/ops/audit",
    "/ops/find?q=take",
)


@pytest.fixture
def refused(world, alice, client):
    world.pds.write_refusals.append((400, "InvalidRecord"))
    track = upload(client, alice)
    world.deliver()
    return track


def test_every_screen_is_for_operators_alone_and_has_parts_that_are_read_again(admin, sign_in, alice):
    for path in SCREENS:
        page = admin.get(path)
        assert page.status_code == 200
        if path not in {SCREENS[-1], "/ops/hit?state=rejected"}:
            assert re.search(r'id="[a-z]+" data-live', page.text.split("console-main")[1]), path
            assert "ops.js" in page.text
    too_much = {"reason": "x" * MAX_FORM_BYTES}
    assert admin.post("/ops/repairs", data=too_much).status_code == 413
    mine = sign_in(alice)
    assert {mine.get(path).status_code for path in SCREENS} == {403}
    assert mine.post("/ops/repairs", data=too_much).status_code == 403, "before it is read"


def test_a_cause_is_seen_counted_and_redriven(admin, world, refused):
    now = admin.get("/ops").text
    assert "Refused by the PDS" in now
    page = admin.get("/ops/failures").text
    (cause,) = re.findall(r'href="(/ops/failures/[0-9a-f]{16})"', page)
    shown = admin.get(cause)
    assert '<path d="M140 32V1.0"><title>1</title></path>' in shown.text, "the current hour comes last"
    assert "InvalidRecord" in shown.text
    assert f'href="/ops/tracks/{refused["id"]}"' in shown.text
    assert "Ask the artists to change what the PDS refuses" in shown.text
    asked = admin.post("/ops/actions", data={"only": f"redrive cause={cause[-16:]}", "back": cause})
    assert "Redrive 1 record?" in asked.text
    assert "writing a record: 400 InvalidRecord</a><br><code" in asked.text
    assert f"<dt>Host</dt><dd>{HOST}</dd>" in asked.text
    done = send(admin, asked, "/ops/actions", reason="the PDS was mended")
    assert "Tried again: 1" in done.text
    assert "1 of 1 wait for their turn" in done.text
    world.deliver()
    assert "None waits or fails any more" in admin.get(str(done.url)).text
    assert "the PDS was mended" in admin.get("/ops/audit").text


def test_an_operator_sees_every_screen_and_can_do_none_of_what_admins_do(world, looks_only, refused):
    operator = looks_only()
    track, account = f"/ops/tracks/{refused['id']}", f"/ops/accounts/{refused['artist_did']}"
    for screen in (*SCREENS, track, f"{track}/record", account):
        page = operator.get(screen)
        assert page.status_code == 200
        assert 'method="post" action="/ops' not in page.text
    before = world.state()
    pages = (route for router in ROUTERS for route in router.routes)
    routes = [each for each in pages if each.path.startswith("/ops") and "POST" in each.methods]
    assert routes
    for route in routes:
        address = re.sub(r"\{\w+\}", str(refused["id"]), route.path)
        for form in ({}, {"action": "pause", "on": f"host={HOST}", "expected": "1", "reason": "r"}):
            assert operator.post(address, data=form).status_code == 403, (address, form)
    assert world.state() == before


def test_a_track_is_found_by_whatever_names_it(client, admin, alice):
    track = upload(client, alice, title="First Take")
    uri, public = track["atproto_record_uri"], f"http://127.0.0.1:8000/@alice.test/{track['id']}"
    for name in (track["id"], f"#{track['id']}", "First", "alice.test", uri, public):
        page = admin.get("/ops/find", params={"q": name})
        assert (page.status_code, "First Take" in page.text) == (200, True), name


@pytest.mark.usefixtures("refused")
def test_the_page_of_a_progress_leads_to_no_other_site(admin):
    page = admin.get("/ops/progress", params={"action": "redrive", "back": "https://evil.test/"})
    assert page.status_code == 200
    assert "evil.test" not in page.text


def test_a_lane_is_shown_with_what_it_waits_for_in_words(admin, world, alice, refused):
    page = admin.get(f"/ops/lanes/{alice.did}")
    assert f'href="/ops/tracks/{refused["id"]}"' in page.text
    assert "The relay delivers when records are due." in page.text
    with world.database.write() as connection:
        park_lane(connection, alice.did)
    page = admin.get(f"/ops/lanes/{alice.did}").text
    assert "Waits until the owner signs in." in page
    assert "Ask the artist to sign in again." in page
    assert 'on <a href="/auth/login">the sign-in page</a>' in page
    assert "GET /" not in page
    assert f'href="/ops/lanes/{alice.did}"' in admin.get("/ops/lanes").text
    assert admin.get("/ops/lanes/did:plc:none").status_code == 404


def test_the_sessions_of_an_account_are_ended_for_a_reason(admin, world, alice):
    world.sign_in("alice", kind=CredentialKind.API)
    here = f"/ops/accounts/{alice.did}"
    page = admin.get(here)
    assert "End all 2" in page.text
    one = re.findall(r'name="token_id" value="([0-9a-f]{16})"', page.text)[0]
    asked = admin.post(f"{here}/tokens/end", data={"token_id": one})
    assert "End 1 session or token?" in asked.text
    left = send(admin, asked, f"{here}/tokens/end", reason="stolen")
    assert "End all 1" in left.text
    assert "stolen" in left.text
    assert admin.post(f"{here}/tokens/end", data={"token_id": one}).status_code == 404
    changed = admin.post(f"{here}/tokens/end", data={"expected": "2", "reason": "all"})
    assert "not 2 as expected" in changed.text
    none = send(admin, changed, f"{here}/tokens/end", reason="all")
    assert "None that works." in none.text


def test_the_audit_is_filtered_and_leads_to_its_lines(client, admin, alice):
    upload(client, alice)
    form = {"did": alice.did, "type": "Created", "since": "2020-01-01T00:00"}
    page = admin.get("/ops/audit", params=form)
    assert "uploaded the track" in page.text
    (link,) = re.findall(r'href="(/audit.ndjson[^"]+)"', page.text)
    saved = admin.get(unescape(link)).text.splitlines()
    assert [json.loads(line)["type"] for line in saved] == ["Created"]
    assert "Nothing." in admin.get("/ops/audit", params=form | {"since": "2999-01-01T00:00"}).text


def test_what_is_of_another_kind_than_a_track_is_named_by_its_kind(admin, world, alice):
    world.pds.write_refusals.append((400, "InvalidRecord"))
    comment = a_comment(did=alice.did, track_cid=A_RECORD["cid"])
    world.log.transact(alice.did, over_http(alice.did), lambda unit: unit.save(comment))
    world.deliver()
    pages = [admin.get(path).text for path in ("/ops/records", "/ops/audit")]
    assert (
        f'Comment</a><span class="soft small">at://{alice.did}/{comment.collection}/{comment.rkey}'
        in pages[0]
    )
    assert "comment 1" in pages[1]
    assert not [page for page in pages if "/ops/tracks/" in page]


SENTENCE = re.compile(r'<h1><span class="mark (\w+) large">([^<]+)</span></h1>')
AGE = re.compile(r'<p class="lead">([^<]+) <time class="utc" datetime="([^"]+)">')
ROW = re.compile('<tr><th scope="row"><span class="mark.*?</tr>', re.DOTALL)


def health(admin):
    """The mark, the sentence, and the age as words and a time."""
    page = admin.get("/ops").text
    (sentence,) = SENTENCE.findall(page)
    return (*sentence, next(iter(AGE.findall(page)), None))


def waits(admin):
    """What waits, by its label: the records and their artists, and the rest of the row."""
    rows = [said(row) for row in ROW.findall(admin.get("/ops").text)]
    return {
        (found := re.match(r"(.+?) (\d+ of \d+ artists?) (.+)", row))[1]: found.group(2, 3) for row in rows
    }


def since(admin, **wanted):
    asked = {"undelivered": "true", **wanted}
    rows = admin.get("/ops/failures", params=asked, headers={"Accept": "*/*"}).json()["items"]
    return min(row["since"] for row in rows)


def waits_for_sign_in(world, client, person, seed):
    with world.database.write() as connection:
        park_lane(connection, person.did)
    upload(client, person, seed=seed)


def test_ended_logins_are_named_calmly_with_since_when_until_nothing_goes_through(admin, world, alice, bob):
    assert health(admin) == ("good", "All is well. Records reach their PDSes.", None)
    waits_for_sign_in(world, admin, alice, 1)
    assert health(admin) == ("good", "Deliveries go through; 1 record waits.", ("Since", since(admin)))
    count, rest = waits(admin)["Parked"]
    assert count == "1 of 1 artist"
    assert rest.endswith(
        "waits until the owner signs in Ask the artist to sign in again. What waits is sent then."
    )
    waits_for_sign_in(world, admin, bob, 2)
    oldest = ("The first since", since(admin, did=alice.did))
    assert health(admin) == ("wait", "No deliveries go through; 2 records wait.", oldest)


def test_records_that_wait_for_a_person_are_named_with_since_when(client, admin, world, alice):
    track = upload(client, alice, seed=1)
    world.deliver()
    world.pds.records[track["atproto_record_uri"]] |= {"title": "theirs"}
    admin.patch(f"/tracks/{track['id']}", json={"album": "two"}, headers=alice.headers)
    world.deliver()
    rejected(world, admin, alice, 2, 3)
    oldest = ("The first since", since(admin))
    assert health(admin) == ("wait", "Deliveries go through; 3 records wait.", oldest)
    found = waits(admin)
    assert found["Refused by the PDS"][0] == "2 of 1 artist"
    assert "Ask the artist to change what the PDS refuses" in found["Refused by the PDS"][1]
    assert found["Held"][0] == "1 of 1 artist"
    assert found["Held"][1].endswith("Nothing: its artist decides about it.")


def test_a_record_that_is_tried_again_at_a_host_that_works_is_not_called_well(
    client, admin, world, alice, bob
):
    upload(client, alice)
    world.pds.write_refusals = [(500, "InternalServerError")]
    world.deliver()
    waits_an_hour(world)
    upload(client, bob, seed=2)
    world.deliver()
    assert health(admin) == ("wait", "Deliveries go through; 1 record waits.", ("Since", since(admin)))
    assert "failed, and is tried again Nothing: it is tried again by itself" in waits(admin)["On its way"][1]


def test_a_service_that_sends_nothing_says_since_when_changes_wait(client, admin, world, alice):
    upload(client, alice)
    with world.serve(silent_because=lambda: "the relay is off") as silent:
        silent.headers, silent.cookies = admin.headers, admin.cookies
        assert health(silent) == ("bad", "the relay is off", ("The first change waits since", since(silent)))


MAX_SCREEN_BYTES = 150_000
NAV = re.compile(r'<nav class="console-nav".*?</nav>', re.DOTALL)


def test_the_title_and_the_icon_of_each_screen_show_trouble_until_it_is_over(admin, world):
    def marks(screen):
        page = admin.get(screen).text
        icon = re.search(r'<link rel="icon"[^>]+ id="icon" data-live href="[^"]+/(\w+).svg">', page)
        return "⚠" in page.split("</title>")[0], icon[1], "zzz.example does not answer" in page

    assert {marks(screen) for screen in SCREENS[:-1]} == {(False, "mark", False)}
    failing = {"host": "https://zzz.example", "failing_since": datetime.now(UTC), "first_error": "e"}
    world.execute(insert(pds_host).values(failing))
    assert {marks(screen) for screen in SCREENS[:-1]} == {(True, "trouble", True)}
    world.execute(update(pds_host).values(paused=True))
    assert marks("/ops/records") == (False, "mark", False)


def test_each_screen_is_small_while_ten_thousand_records_fail(world, admin):
    fill(world.log, Outage())
    (nav,) = NAV.findall(admin.get("/ops").text)
    screens = {page for page, _ in MEASURED.values()} | set(re.findall(r'href="(/ops[^"]*)"', nav))
    sizes = {}
    for screen in sorted(screens):
        answer = admin.get(screen)
        assert answer.status_code == 200, screen
        sizes[screen] = len(answer.content)
    assert {screen: size for screen, size in sizes.items() if size >= MAX_SCREEN_BYTES} == {}
    failing = admin.get("/ops/overview", headers={"Accept": "*/*"}).json()["failing_hosts"]
    assert failing > 100
    assert f"and {failing - 1} more" in admin.get("/ops").text
    cause, _ = MEASURED["a cause"]
    assert admin.get(cause).text.count('<th scope="row">') > 1


def test_a_host_that_fails_is_seen_behind_very_many_that_work(world, admin):
    failing = {"host": "https://zzz.example", "failing_since": datetime.now(UTC), "first_error": "e"}
    with world.database.write() as connection:
        well = [{"host": f"https://a-{number:03}.example"} for number in range(150)]
        connection.execute(insert(pds_host), well)
        connection.execute(insert(pds_host).values(failing))
    assert "https://zzz.example does not answer as it should." in admin.get("/ops").text
    assert "https://zzz.example</a>" in admin.get("/ops/hosts?failing=true").text
    assert "a-000" not in admin.get("/ops/hosts?failing=true").text


def test_as_many_statements_read_many_hosts_as_read_two(world, admin):
    fill(world.log, Outage(records=100, lanes=50, hosts=50))

    def statements(limit):
        with recorded_statements(world.database.engine) as seen:
            answer = admin.get("/ops/hosts", params={"limit": limit}, headers={"Accept": "*/*"})
        assert len(answer.json()["items"]) == limit
        return len(seen)

    statements(2)  # records the first use of the token
    assert statements(2) == statements(50)


def test_the_screen_of_a_track_is_small_however_much_its_changes_say(client, admin, alice):
    track = upload(client, alice)
    for letter in "abcdefghijklmnopqrstu":
        changed = admin.patch(
            f"/tracks/{track['id']}", json={"description": letter * 5000}, headers=alice.headers
        )
        assert changed.status_code == 200
    page = admin.get(f"/ops/tracks/{track['id']}")
    assert "uuuuu" in page.text
    assert len(page.content) < MAX_SCREEN_BYTES
