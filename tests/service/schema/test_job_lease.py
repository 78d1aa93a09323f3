"""One process at a time acquires the lease of a job, when it is due."""

import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread

import pytest

from eventstore.database import Database
from service.schema.job_lease import JobLeases, JobName, JobState

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


HOUR = timedelta(hours=1)
SWEEP = JobName.SWEEP_MEDIA


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(migrated_url: str, clock: Clock) -> Database:
    return Database(migrated_url, clock=clock)


def test_one_of_many_processes_acquires_the_job(database: Database) -> None:
    got: list[str] = []
    together = Barrier(6)

    def try_it(owner: str) -> None:
        together.wait()
        with JobLeases(database, owner).acquire("sweep", lease=HOUR, interval=HOUR) as ours:
            if ours:
                got.append(owner)
                time.sleep(0.05)

    threads = [Thread(target=try_it, args=[f"process {number}"]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1
    database.close()


@pytest.mark.parametrize(("later", "due"), [(timedelta(minutes=59), False), (timedelta(minutes=60), True)])
def test_job_is_due_again_an_interval_after_it_began(
    database: Database, clock: Clock, later: timedelta, due: bool
) -> None:
    with JobLeases(database, "one").acquire("sweep", lease=2 * HOUR, interval=HOUR) as ours:
        assert ours
    clock.now += later
    with JobLeases(database, "other").acquire("sweep", lease=2 * HOUR, interval=HOUR) as ours:
        assert ours is due
    database.close()


def test_job_that_failed_is_due_at_once(database: Database) -> None:
    with (
        pytest.raises(ZeroDivisionError),
        JobLeases(database, "one").acquire("sweep", lease=HOUR, interval=HOUR),
    ):
        raise ZeroDivisionError
    with JobLeases(database, "other").acquire("sweep", lease=HOUR, interval=HOUR) as ours:
        assert ours
    database.close()


def test_job_of_a_dead_process_is_taken_over(database: Database, clock: Clock) -> None:
    dead = JobLeases(database, "dead").acquire("sweep", lease=2 * HOUR, interval=HOUR)
    assert dead.__enter__()
    with JobLeases(database, "other").acquire("sweep", lease=HOUR, interval=HOUR) as ours:
        assert not ours
    clock.now += 2 * HOUR
    with JobLeases(database, "other").acquire("sweep", lease=HOUR, interval=HOUR) as ours:
        assert ours
    dead.__exit__(None, None, None)  # it was only asleep: what it says now counts no more
    clock.now += HOUR - timedelta(seconds=1)
    with JobLeases(database, "third").acquire("sweep", lease=HOUR, interval=HOUR) as ours:
        assert not ours
    database.close()


def state(database: Database) -> JobState:
    with database.read() as connection:
        (found,) = (each for each in JobLeases(database, "any").runs(connection) if each.name == SWEEP)
    return found.state


def test_a_run_whose_process_has_ended_is_cut_off_and_due_when_its_lease_expires(
    database: Database, clock: Clock
) -> None:
    program = "from eventstore.coordination.process_names import process_name as name; print(name())"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    for owner, at_first in ((ended.stdout.strip(), JobState.CUT_OFF), ("elsewhere", JobState.RUNNING)):
        with JobLeases(database, owner).acquire(SWEEP, lease=HOUR, interval=HOUR) as ours:
            assert ours
            clock.now += timedelta(minutes=59)
            assert state(database) is at_first
            assert not is_due(database)
            clock.now += timedelta(minutes=1)
            assert state(database) is JobState.CUT_OFF
            assert is_due(database)
        clock.now += HOUR
    database.close()


def is_due(database: Database) -> bool:
    """Whether another process gets the job; it runs for no time."""
    with JobLeases(database, "other").acquire(SWEEP, lease=timedelta(), interval=timedelta()) as ours:
        return ours
