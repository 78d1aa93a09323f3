"""The row of a periodic job says how its newest run goes or ended."""

import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import true

from eventstore.jobs import queue
from eventstore.jobs.kinds import Failure, Job, Outcome
from eventstore.jobs.periodic import PERIODIC, JobRun, RunState, request_periodic, runs
from tests.eventstore.jobs.rig import LEASE, Rig, kind

HOUR = timedelta(hours=1)
KIND = kind(name=PERIODIC, max_attempts=None, condition=lambda _job: true())


@pytest.fixture
def rig(rig: Rig) -> Rig:
    request_periodic(rig.database, ["sweep"])
    return rig


def run(rig: Rig) -> JobRun:
    with rig.database.read() as connection:
        [found] = runs(connection, rig.time())
    return found


def begun(rig: Rig, owner: str = "one") -> Job:
    return rig.claimed(KIND, owner)


def ended(rig: Rig, job: Job, **how: Any) -> None:
    job.again_after = HOUR
    if how:
        queue.fail(rig.database, KIND, job, Failure(**how))
    else:
        queue.settle(rig.database, KIND, job, Outcome.LATER)


def test_a_job_is_due_again_an_interval_after_its_run_began(rig: Rig) -> None:
    assert run(rig).state is RunState.NEW
    began = rig.time()
    job = begun(rig)
    assert (run(rig).state, run(rig).next_at, run(rig).holder) == (RunState.RUNNING, None, "one")
    rig.later(timedelta(minutes=20))
    queue.extend(rig.database, job, LEASE)
    ended(rig, job)
    found = run(rig)
    assert (found.state, found.began_at, found.next_at) == (RunState.DONE, began, began + HOUR)
    assert found.ended_at == began + timedelta(minutes=20)
    rig.later(timedelta(minutes=39))
    assert rig.claim(KIND) is None
    rig.later(timedelta(minutes=1))
    assert rig.claim(KIND) is not None


def test_a_job_that_fails_says_since_when_and_is_tried_again_sooner(rig: Rig) -> None:
    began = rig.time()
    ended(rig, begun(rig), problem="no space left")
    found = run(rig)
    assert (found.state, found.problem, found.failing_since) == (RunState.FAILED, "no space left", began)
    rig.later(timedelta(seconds=10))
    ended(rig, begun(rig), problem="no space left")
    assert run(rig).failing_since == began
    rig.later(timedelta(seconds=20))
    ended(rig, begun(rig))
    assert (run(rig).state, run(rig).problem, run(rig).failing_since) == (RunState.DONE, None, None)


def test_a_run_whose_process_has_ended_is_cut_off(rig: Rig) -> None:
    program = "from eventstore.coordination.process_names import process_name as name; print(name())"
    gone = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    for owner, at_first in ((gone.stdout.strip(), RunState.CUT_OFF), ("elsewhere", RunState.RUNNING)):
        begun(rig, owner)
        assert run(rig).state is at_first
        rig.later(LEASE)
        assert run(rig).state is RunState.CUT_OFF
        ended(rig, begun(rig))
        rig.later(HOUR)


def test_jobs_are_requested_once_and_keep_what_is_known(rig: Rig) -> None:
    ended(rig, begun(rig))
    before = run(rig)
    request_periodic(rig.database, ["sweep"])
    assert run(rig) == before
