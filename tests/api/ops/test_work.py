"""What operators see of the work in the background."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import delete, insert, update

from eventstore.change import Envelope, Via
from eventstore.sql.schema import projection_state
from outbox.mirror.lanes import resume_lane
from outbox.mirror.tables import PAST, firehose_cursor, mirror_lane, repo_scan
from projections.rebuild.rebuild import rebuild
from replay.adoption import adopt as adoptions
from replay.adoption.record import Progress
from service.process.jobs import JOBS, periodic_jobs, request_periodic
from tests.api.ops.requests import act, cannot_be_made, read
from tests.api.world import did_of, upload
from tests.fake_pds.scripted_pds import HOST
from tests.outbox.rigs.rows import set_host
from tests.replay.adoption.claims import claimed, record
from tests.replay.adoption.claims import fail as fail_adoption
from tests.servers.databases import ON_SQLITE
from tests.service.process.periodic import make_due, run_if_due

LEASE = timedelta(minutes=1)


@pytest.fixture
def work(client, operator):
    return lambda: read(client, operator, "/ops/work")


def test_read_models_are_at_the_head_of_the_log_or_outdated(world, client, alice, work):
    upload(client, alice)
    now = work()
    assert now["head"] > 0
    assert {each["name"] for each in now["read_models"]} == {each.name for each in world.log.projections}
    assert {(each["state"], each["position"]) for each in now["read_models"]} == {("current", now["head"])}
    assert now["replay"] is None
    with world.database.write() as connection:
        of_tracks = projection_state.c.name == "tracks"
        connection.execute(update(projection_state).where(of_tracks).values(fingerprint="older"))
    states = {each["name"]: (each["state"], each["position"]) for each in work()["read_models"]}
    assert states.pop("tracks") == ("outdated", None)
    assert set(states.values()) == {("current", now["head"])}


def test_a_rebuild_shows_how_far_it_is_and_where_it_was_cut_off(world, client, alice, work, monkeypatch):
    monkeypatch.setattr("projections.rebuild.rebuild.SAYING_SECONDS", 0)
    for seed in (1, 2, 3):
        upload(client, alice, seed=seed)
    head = work()["head"]
    seen = []

    def cut_off(_position, _until):
        seen.append(work()["replay"])
        if len(seen) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rebuild(world.log, world.log.projections[:2], page=1, progress=cut_off)
    assert [(each["position"], each["head"]) for each in seen] == [(1, head), (2, head)]
    left = work()["replay"]
    assert left == seen[-1]
    assert left["work"] == "rebuild"
    assert left["read_models"] == [each.name for each in world.log.projections[:2]]
    assert left["began_at"] <= left["moved_at"]
    rebuild(world.log, world.log.projections[:2])
    assert work()["replay"] is None


def test_the_scan_says_what_is_due_how_old_it_is_and_what_it_could_not_read(world, client, alice, bob, work):
    for person in (alice, bob):
        upload(client, person)
    world.deliver()
    never = work()["scan"]
    assert (never["repos"], never["due"], never["oldest_at"]) == (2, 2, None)
    with world.database.write() as connection:
        now = world.database.now(connection)
        known = {"did": alice.did, "scanned_at": now, "problem": None}
        unread = {"did": bob.did, "scanned_at": now - timedelta(hours=3), "problem": "too_slow: a minute"}
        connection.execute(insert(repo_scan), [known, unread])
    scan = work()["scan"]
    assert (scan["repos"], scan["due"], scan["unread"]) == (2, 1, 1)
    assert scan["oldest_at"] < scan["last_at"]
    (problem,) = scan["unread_repos"]
    assert (problem["did"], problem["host"], problem["problem"]) == (bob.did, HOST, "too_slow: a minute")
    world.execute(update(repo_scan).where(repo_scan.c.did == bob.did).values(scanned_at=PAST))
    assert work()["scan"]["oldest_at"] == scan["last_at"]  # it is to be scanned anew


def test_firehoses_are_listed_with_their_state_and_lag_those_in_trouble_first(world, operator, work):
    hosts = ("late", "well", "away", "left", "new", "paused")
    assert work()["firehose"] == {
        "enabled": False, "streams": {}, "heard_at": None, "lag_seconds": None, "items": [],
    }  # fmt: skip
    with world.database.write() as connection:
        now = world.database.now(connection)
        connection.execute(delete(mirror_lane))
        for host in hosts:
            resume_lane(connection, did_of(host), f"https://{host}.test", now)
        held = {"lease_owner": "one", "lease_until": now + LEASE, "connected_at": now, "problem": None}
        away = {"connected_at": None, "problem": "ConnectionRefusedError()"}
        rows = {
            "late": {"lag_seconds": 90.0},
            "well": {"lag_seconds": 0.5},
            "away": {"lag_seconds": 3.0, **away},
            "left": {"lag_seconds": None, "lease_until": now - LEASE},
            "paused": {"lag_seconds": None, "lease_until": now - LEASE},
        }
        for host, row in rows.items():
            values = {"host": f"https://{host}.test", "heard_at": now, **held, **row}
            connection.execute(insert(firehose_cursor).values(values))
    set_host(world.database, "https://paused.test", paused=True)
    with world.serve(follows_firehose=True) as following:
        found = read(following, operator, "/ops/work")["firehose"]
    assert found["streams"] == {"followed": 2, "disconnected": 1, "unfollowed": 2}
    assert [each["host"].removeprefix("https://") for each in found["items"]] == [
        "away.test",
        "left.test",
        "new.test",
        "late.test",
        "well.test",
    ]
    assert found["items"][0]["problem"] == "ConnectionRefusedError()"
    assert found["lag_seconds"] == 90.0


def test_the_scan_counts_no_more_repos_than_it_may_read(*, world, client, alice, bob, work, monkeypatch):
    for person in (alice, bob):
        upload(client, person)
    world.deliver()
    monkeypatch.setattr("replay.reconcile.scan.MAX_COUNTED", 1)
    assert (work()["scan"]["repos"], work()["scan"]["due"]) == (1, 1)


@pytest.fixture
def jobs(client, operator):
    return lambda **wanted: read(client, operator, "/ops/jobs", **wanted)["items"]


def run(world, name, does):
    (wanted,) = (each for each in JOBS if each.name == name)
    make_due(world.made)
    return run_if_due(world.made, replace(wanted, run=does))


@ON_SQLITE
def test_every_periodic_job_is_listed(world, jobs):
    names = [each.name for each in periodic_jobs(world.made.settings)]
    for _ in range(2):
        request_periodic(world.database, names)
    assert [each["subject"] for each in jobs(kind="periodic")] == names[::-1]
    assert {each["began_at"] for each in jobs()} == {None}


def test_a_job_says_how_its_last_run_ended_when_it_is_due_and_who_holds_it(world, jobs):
    seen = []

    def fail(_container):
        seen.extend(jobs(state="running"))
        msg = f"the first line of run {len(seen)}\nthe second"
        raise ValueError(msg)

    assert not run(world, "prune_journal", fail)
    assert (seen[0]["state"], seen[0]["subject"]) == ("running", "prune_journal")
    assert seen[0]["began_by"]
    (failed,) = jobs()
    assert (failed["state"], failed["problem"]) == ("waiting", "ValueError: the first line of run 1")
    assert failed["due"] > failed["began_at"]
    assert failed["began_by"] == seen[0]["began_by"]

    run(world, "prune_journal", fail)
    (again,) = jobs()
    assert again["began_at"] > failed["began_at"]
    assert (again["failing_since"], again["first_error"]) == (failed["failing_since"], failed["problem"])
    assert again["problem"] == "ValueError: the first line of run 2"
    assert seen[1]["problem"] == failed["problem"]  # until a run ends well

    assert run(world, "prune_journal", lambda _container: None)
    (well,) = jobs()
    assert (well["state"], well["problem"], well["failing_since"], well["first_error"]) == (
        "waiting", None, None, None,
    )  # fmt: skip


def test_jobs_are_listed_by_kind_and_state_with_their_progress_and_reason(world, jobs):
    database = world.database
    for name in ("waits", "runs", "fails"):
        with database.write() as connection:
            requested = Envelope(did_of(name), Via.BROWSER, name)
            adoptions.request(connection, did_of(name), requested, database.now(connection))
        if name != "waits":
            it = claimed(database, did_of(name))
            progress = Progress(found=10, known=1, adopted=3)
            if name == "runs":
                record(database, it, progress)
            else:
                fail_adoption(database, it, progress, "the PDS is gone", final=True)
    cannot_be_made(world, "a source")
    assert [each["kind"] for each in jobs()] == ["waveform", "adoption", "adoption", "adoption"]
    assert {each["state"]: each["account"] for each in jobs(kind="adoption")} == {
        "failed": did_of("fails"), "running": did_of("runs"), "waiting": did_of("waits"),
    }  # fmt: skip
    assert [each["subject"] for each in jobs(state="failed")] == ["a source", did_of("fails")]
    (failed,) = jobs(kind="adoption", state="failed")
    assert (failed["problem"], failed["progress"]["adopted"]) == ("the PDS is gone", 3)


def test_jobs_are_counted_in_work_and_metrics_by_kind_and_state_no_further_than_the_limit(
    world, work, monkeypatch
):
    monkeypatch.setattr("eventstore.sql.database.MAX_COUNTED", 3)
    cannot_be_made(world, *map(str, range(5)))
    counted = {(each["kind"], each["state"]): each["jobs"] for each in work()["jobs"]}
    assert counted == {("waveform", "waiting"): 0, ("waveform", "running"): 0, ("waveform", "failed"): 3}
    assert 'mastertape_jobs{kind="waveform",state="failed"} 3.0' in world.made.metrics.text().decode()


@ON_SQLITE
def test_pages_of_jobs_follow_one_another(world, client, jobs, admin):
    cannot_be_made(world, *map(str, range(5)))
    found, cursor = [], {}
    while cursor is not None:
        page = read(client, admin, "/ops/jobs", limit=2, **cursor)
        found += page["items"]
        cursor = {"cursor": page["cursor"]} if page["cursor"] else None
    assert found == jobs()
    assert len(found) == 5


def test_an_admin_has_a_failed_job_tried_again_and_the_audit_says_why(world, client, jobs, admin):
    cannot_be_made(world, "a source")
    (failed,) = jobs()
    assert act(client, admin, f"/ops/jobs/{failed['id']}/retry").status_code == 422
    answer = act(client, admin, f"/ops/jobs/{failed['id']}/retry", reason="a new decoder")
    assert answer.status_code == 200, answer.text
    (waits,) = jobs()
    assert (waits["id"], waits["state"], waits["attempts"], waits["problem"]) == (
        failed["id"],
        "waiting",
        0,
        None,
    )
    changes = read(client, admin, "/audit", type="OperatorActed")["items"][0]["changes"]
    said = {each["field"]: each["after"] for each in changes}
    assert (said["action"], said["reason"]) == ("retry_job", "a new decoder")


def test_a_job_that_waits_for_its_next_attempt_is_tried_at_once_and_one_that_runs_is_left(
    world, client, jobs, admin
):
    def fail(_container):
        (running,) = jobs()
        assert act(client, admin, f"/ops/jobs/{running['id']}/retry", reason="r").status_code == 404
        raise ValueError

    run(world, "prune_journal", fail)
    (waits,) = jobs()
    assert act(client, admin, f"/ops/jobs/{waits['id']}/retry", reason="r").status_code == 200
    (hurried,) = jobs()
    assert hurried["due"] < waits["due"]
    assert (hurried["problem"], hurried["attempts"]) == (waits["problem"], waits["attempts"])
