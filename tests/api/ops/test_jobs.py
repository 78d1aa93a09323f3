"""What operators see of jobs, and how an admin has one tried again."""

from dataclasses import replace
from datetime import timedelta

import pytest

from eventstore.change import Envelope, Via
from identity.accounts.credentials import Scope
from replay.adoption import adopt as adoptions
from replay.adoption.progress import Progress
from service.process.jobs import JOBS, periodic_jobs, request_periodic
from tests.api.ops.requests import act, cannot_be_made, read
from tests.api.world import did_of
from tests.replay.adoption.claims import claimed, record
from tests.replay.adoption.claims import fail as fail_adoption
from tests.service.process.periodic import make_due, run_if_due

LEASE = timedelta(minutes=1)


@pytest.fixture
def jobs(world, client):
    """Reads jobs as an operator does."""
    operator = world.sign_in("operator", scope=Scope.OPERATOR)
    return lambda **wanted: read(client, operator, "/ops/jobs", **wanted)["items"]


@pytest.fixture
def admin(world):
    return world.sign_in("admin", scope=Scope.ADMIN)


def run(world, name, does):
    """Run a periodic job that does this instead."""
    (wanted,) = (each for each in JOBS if each.name == name)
    make_due(world.made)
    return run_if_due(world.made, replace(wanted, run=does))


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
    world, client, monkeypatch
):
    operator = world.sign_in("operator", scope=Scope.OPERATOR)
    monkeypatch.setattr("eventstore.database.MAX_COUNTED", 3)
    cannot_be_made(world, *map(str, range(5)))
    counted = {
        (each["kind"], each["state"]): each["jobs"] for each in read(client, operator, "/ops/work")["jobs"]
    }
    assert counted == {("waveform", "waiting"): 0, ("waveform", "running"): 0, ("waveform", "failed"): 3}
    assert 'mastertape_jobs{kind="waveform",state="failed"} 3.0' in world.made.metrics.text().decode()


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
