"""The console in this process: repairs, and the work in the background."""

import re
from datetime import UTC, datetime, timedelta
from html import unescape
from unittest.mock import Mock

import pytest
from sqlalchemy import insert, update

from eventstore.change import Envelope, Via
from eventstore.sql.schema import projection_state
from outbox.mirror.delivery_counts import DeliveryCounts
from outbox.mirror.lanes import resume_lane
from outbox.mirror.tables import firehose_cursor
from projections.rebuild.rebuild import rebuild
from replay.adoption import adopt as adoptions
from replay.adoption.record import Progress
from service.process.jobs import PeriodicJob
from tests.api.world import did_of, upload
from tests.replay.adoption.claims import claimed, record
from tests.replay.adoption.claims import fail as fail_adoption
from tests.service.process.periodic import run_if_due
from tests.web.studio.forms import send

HOUR = timedelta(hours=1)


@pytest.fixture
def lost(world, alice, client):
    track = upload(client, alice)
    world.deliver()
    del world.pds.records[track["atproto_record_uri"]]
    return track


@pytest.mark.usefixtures("lost")
def test_a_repair_says_that_it_names_some_of_its_records(admin, world, alice, client, monkeypatch):
    monkeypatch.setattr("api.responses.ops.repairs.MAX_NAMED_STEPS", 1)
    second = upload(client, alice, seed=2)
    world.deliver()
    del world.pds.records[second["atproto_record_uri"]]
    here = admin.post("/ops/repairs", data={"did": alice.did, "reason": "r"}).url.path
    world.repair()
    page = admin.get(here).text
    assert "<summary>The first 1 of 2 records</summary>" in page
    assert page.count('<a href="/ops/tracks/') == 1


@pytest.mark.usefixtures("lost")
def test_a_repair_is_cancelled_after_the_reason_was_given(admin, world, alice):
    here = admin.post("/ops/repairs", data={"did": alice.did, "reason": "r"}).url.path
    world.repair()
    asked = admin.post(here, data={"action": "cancel"})
    assert "Cancel repair 1?" in asked.text
    assert "Cancelled" in send(admin, asked, here, reason="not now").text
    again = admin.post(here, data={"action": "apply", "digest": "0" * 64, "reason": "r"})
    assert "The repair is cancelled now" in again.text


def test_a_repair_that_cannot_be_started_keeps_what_was_typed(admin):
    page = admin.post("/ops/repairs", data={"did": "did:plc:nobody", "reason": "because"}).text
    assert "nothing is known of" in page
    assert 'value="did:plc:nobody"' in page
    assert 'value="because"' in page


@pytest.mark.usefixtures("lost")
def test_a_read_only_operator_sees_a_repair_and_has_no_button(admin, looks_only, world, alice):
    here = admin.post("/ops/repairs", data={"did": alice.did, "reason": "r"}).url.path
    world.repair()
    looks_only()
    assert "1 record would change" in admin.get(here).text
    assert "/ops/repairs" not in re.findall(r'<form method="post" action="([^"]+)"', admin.get(here).text)
    assert 'name="action"' not in admin.get(here).text
    assert 'name="reason"' not in admin.get("/ops/repairs").text
    assert admin.post(here, data={"action": "cancel", "reason": "r"}).status_code == 403


def test_firehoses_are_shown_with_their_lag_and_those_that_are_not_followed_are_named(world, admin):
    with world.database.write() as connection:
        now = world.database.now(connection)
        held = {"lease_owner": "one", "lease_until": now + HOUR, "heard_at": now}
        for name, row in {
            "late": {"connected_at": now, "lag_seconds": 90.0},
            "away": {"problem": "ConnectionRefusedError"},
        }.items():
            resume_lane(connection, did_of(name), f"https://{name}.test", now)
            values = {"host": f"https://{name}.test", **held, **row}
            connection.execute(insert(firehose_cursor).values(values))
    with world.serve(follows_firehose=True) as following:
        following.headers, following.cookies = admin.headers, admin.cookies
        page = following.get("/ops/work")
    assert "The firehose of 1 host is not followed." in page.text
    assert "FIREHOSE is off" not in page.text
    rows = {name: row_with(page.text, f"https://{name}.test</strong>") for name in ("late", "away")}
    assert "90 s late" in rows["late"]
    assert '<span class="mark wait">followed</span>' in rows["late"]
    assert "ConnectionRefusedError" in rows["away"]
    assert '<span class="mark bad">disconnected</span>' in rows["away"]

    (unfollow,) = re.findall(r'name="only" value="([^"]+)">Unfollow', rows["late"])
    asked = admin.post("/ops/actions", data={"only": unescape(unfollow), "back": "/ops/work"})
    assert "Unfollow 1 host?" in asked.text
    done = send(admin, asked, "/ops/actions", reason="it floods")
    assert "Followed no longer: 1" in done.text
    assert "What it has shown is forgotten." in done.text
    hosts = re.findall(r"<tr>.*?</tr>", admin.get("/ops/hosts").text, re.DOTALL)
    assert ["https://late.test" in each for each in hosts if "not followed" in each] == [True]
    assert re.search(r"ended the following of\s+<a [^>]+>https://late.test", admin.get("/ops/audit").text)


def row_with(page, text):
    (row,) = (each for each in re.findall("<li>.*?</li>", page, re.DOTALL) if text in each)
    return row


def test_work_that_fails_is_named_first_with_its_reason_and_its_progress_shown(world, admin):
    database = world.database

    run_if_due(world.made, PeriodicJob("sweep_media", HOUR, Mock(side_effect=OSError("no space left"))))
    for name in ("one", "two"):
        with database.write() as connection:
            asked = Envelope(did_of(name), Via.BROWSER, name)
            adoptions.request(connection, did_of(name), asked, database.now(connection))
        job = claimed(database, did_of(name))
        progress = Progress(found=10, known=1, adopted=3)
        record(database, job, progress)
    fail_adoption(database, job, progress, "the PDS is gone", final=True)
    text = admin.get("/ops/work").text
    assert "2 things need a look" in text
    troubles = re.findall(r'href="#([a-z-]+)">([^<]+)<', text)
    assert troubles[1:] == [("jobs", "The job “sweep media” fails."), ("jobs", "1 adoption failed.")]
    page = admin.get("/ops/jobs")
    assert "OSError: no space left" in page.text
    assert "3 adopted" in page.text
    failed = admin.get("/ops/jobs?kind=adoption&state=failed").text
    assert "the PDS is gone" in failed
    assert f'href="/ops/accounts/{did_of("two")}"' in failed
    assert f'href="/ops/accounts/{did_of("one")}"' not in failed
    (retry,) = re.findall(r'name="only" value="(retry job=\d+)"', failed)
    asked = admin.post("/ops/actions", data={"only": retry, "back": "/ops/jobs"})
    assert "Try 1 job again?" in asked.text
    again = send(admin, asked, "/ops/actions", reason="it is back")
    assert again.url.path == "/ops/jobs"
    assert "the PDS is gone" not in again.text
    assert "had tried again the job" in re.sub(r"<[^>]+>", "", admin.get("/ops/audit").text)


def test_a_rebuild_is_shown_with_its_progress_and_when_it_stands_still(client, world, admin, alice):
    upload(client, alice)

    with pytest.raises(KeyboardInterrupt):
        rebuild(world.log, world.log.projections[:1], page=1, progress=Mock(side_effect=KeyboardInterrupt))
    text = admin.get("/ops/work").text
    assert "A rebuild is going on" in text
    assert 'value="1" aria-label="Events that were replayed"' in text
    assert "does not move" not in text
    with world.database.write() as connection:
        long_ago = world.database.now(connection) - HOUR
        connection.execute(update(projection_state).values(moved_at=long_ago))
    assert "A rebuild of read models does not move" in admin.get("/ops/work").text


def test_deliveries_are_shown_over_time_with_their_speed_and_their_releases(admin, world):
    assert "Nothing was delivered in the last week." in admin.get("/ops/deliveries").text
    now = datetime.now(UTC)
    for release, hours, seconds in (("1.0", 30, 0.1), ("1.1", 0, 20)):
        counts = DeliveryCounts(release)
        counts.count(now - hours * HOUR, seconds)
        counts.store(world.database)
    page = admin.get("/ops/deliveries")
    assert "by the hour: 2<" in page.text
    assert "1, half within 0.25 s, 95 % within 0.25 s</title>" in page.text
    assert "at worst within 60 s" in page.text
    lines = re.findall(r'<path class="release" d="M(\d+) 0V64"><title>([^<]+)</title>', page.text)
    assert [(int(at) // 6, release) for at, release in lines] == [(137, "1.0"), (167, "1.1")] * 2
