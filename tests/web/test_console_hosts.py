"""The console while hosts fail: what to do, and what is offered, which always acts on at least one."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape

import pytest
from sqlalchemy import update

from api.responses.states import LaneState, VerdictKind
from api.routers.ops.deliveries import LANE_STATES
from outbox.mirror.states import PROBED
from outbox.mirror.tables import mirror_lane, pds_host
from tests.api.ops.requests import waits_an_hour
from tests.api.world import upload
from tests.fake_pds.scripted_pds import HOST
from tests.web.studio.forms import send
from web.pages.ops.words import ABOUT_KIND
from web.rendering import age, coming, relative
from web.state_words import BY_REASON

AT_HOST = f"/ops/lanes?host={HOST}"
BUTTONS = re.compile(r'name="only" [^>]+>([^<]+)<')


@pytest.fixture
def away(world, alice, client):
    """A track that waits, since its PDS does not answer."""
    upload(client, alice, title="before")
    world.deliver()
    track = upload(client, alice, seed=2)
    world.pds.write_refusals = [(502, "")] * 4  # its first pause is a quarter of a second
    world.deliver()
    waits_an_hour(world)
    world.pds.write_refusals = []
    return track


def asks(admin, action, back):
    return admin.post("/ops/actions", data={"only": f"{action} host={HOST}", "back": back})


def test_a_host_that_fails_is_tried_again_at_once(admin, world, away):
    for screen in ("/ops", "/ops/hosts", AT_HOST):
        offered = BUTTONS.findall(admin.get(screen).text)
        assert "Try again now" in offered, screen
        assert "Resume" not in offered, screen
    world.deliver()
    assert world.record(away) is None, "it is not due yet"
    asked = asks(admin, "retry", AT_HOST)
    assert "Try 1 account again now?" in asked.text
    done = send(admin, asked, "/ops/actions", reason="it is back")
    assert "Tried at once: 1" in done.text
    assert "1 of 1 still have something to send" in done.text
    world.deliver()
    assert world.record(away) is not None
    assert "Nothing is left that can be sent now" in admin.get(str(done.url)).text
    assert "it is back" in admin.get("/ops/audit").text
    assert set(BUTTONS.findall(admin.get(AT_HOST).text)) == {"Pause"}


@pytest.mark.usefixtures("alice")
def test_what_would_touch_nothing_is_not_offered(admin, world):
    world.deliver()
    for action in ("resume", "retry", "probe", "redrive"):
        asked = asks(admin, action, "/ops/hosts")
        assert "Nothing to do" in asked.text, action
        assert 'action="/ops/actions"' not in asked.text, action
        assert 'href="/ops/hosts">Back</a>' in asked.text, action


@pytest.mark.usefixtures("alice")
def test_a_host_is_paused_and_resumed(admin):
    asked = asks(admin, "pause", AT_HOST)
    assert "Pause 1 account?" in asked.text
    assert "Paused: 1" in send(admin, asked, "/ops/actions", reason="r").text
    now = admin.get("/ops").text
    assert f"{HOST} is paused." in now
    assert BUTTONS.findall(now) == ["Resume"]
    assert 'href="/ops/audit?type=OperatorActed">Who paused it, and why' in admin.get(AT_HOST).text
    asked = asks(admin, "resume", AT_HOST)
    assert "Resume 1 account?" in asked.text
    assert "Resumed: 1" in send(admin, asked, "/ops/actions", reason="r").text
    assert "Who paused it" not in admin.get(AT_HOST).text


@pytest.mark.usefixtures("away")
def test_each_screen_says_what_to_do_and_when_it_is_tried_next(admin, alice):
    (cause,) = re.findall(r'href="(/ops/failures/[0-9a-f]{16})"', admin.get("/ops/failures").text)
    for screen in ("/ops", "/ops/failures", cause, "/ops/hosts", AT_HOST, f"/ops/lanes/{alice.did}"):
        page = admin.get(screen).text
        assert "Nothing: " in page, screen
        if screen != "/ops/failures":
            assert re.search(r"Next (try|attempt)", page), screen
    assert "Last failed <time" in admin.get(cause).text


def test_an_age_is_of_the_past_and_what_is_planned_comes():
    now = datetime.now(UTC)
    past, ahead = (now - timedelta(minutes=4)).isoformat(), (now + timedelta(seconds=40.5)).isoformat()
    assert (age(past), coming(past), relative(past)) == ("4 minutes ago", "now", "4 minutes ago")
    assert coming(ahead) == relative(ahead) == "in 40 seconds"


def test_a_lane_offers_what_acts_on_it(admin, world, alice):
    here = f"/ops/lanes/{alice.did}"
    assert BUTTONS.findall(admin.get(here).text) == ["Pause"]
    world.execute(update(mirror_lane).where(mirror_lane.c.did == alice.did).values(state=LaneState.GONE))
    assert BUTTONS.findall(admin.get(here).text) == ["Look for it", "Pause"]


@pytest.mark.usefixtures("away")
def test_the_list_of_accounts_offers_what_acts_on_one_that_is_looked_for(admin, world, alice):
    form = {"only": f"probe did={alice.did}", "back": "/ops/lanes"}
    for state in (*PROBED, LaneState.GONE):
        world.execute(update(mirror_lane).values(state=state, failing_since=datetime.now(UTC)))
        assert f'value="{form["only"]}"' in admin.get("/ops/lanes").text, state
        assert "Nothing to do" not in admin.post("/ops/actions", data=form).text, state


def test_a_cause_that_stops_accounts_leads_to_those_that_it_stops(admin, world, client, alice):
    upload(client, alice)
    world.pds.write_refusals = [(400, "InsufficientStorage")]
    world.deliver()
    (cause,) = re.findall(r'href="(/ops/failures/[0-9a-f]{16})"', admin.get("/ops/failures").text)
    page = admin.get(cause).text
    (hit,) = re.findall(r'href="(/ops/hit\?[^"]+)"', page)
    assert "Records that wait" not in page
    assert alice.did in admin.get(unescape(hit)).text


def test_there_is_something_to_say_of_each_state_and_each_kind_of_failure():
    assert {state for state, words in BY_REASON.items() if words.advice} == {*LANE_STATES} - {LaneState.READY}
    assert set(ABOUT_KIND) == set(VerdictKind) - {VerdictKind.DONE}


def test_a_host_that_acknowledged_what_is_not_there_is_named(admin, world, alice, client):
    upload(client, alice)
    with world.database.write() as connection:
        connection.execute(update(pds_host).where(pds_host.c.host == HOST).values(refuted_writes=12))
    for screen in ("/ops", "/ops/hosts", "/ops/hosts?failing=true", AT_HOST):
        assert "It acknowledged 12 writes that are not there" in admin.get(screen).text, screen
    assert f"{HOST} is doubted." in admin.get("/ops").text
