"""What a process does with the adoptions that were requested, for tests in which no adoption runs."""

from datetime import timedelta
from typing import Any

from eventstore.jobs import queue
from eventstore.jobs.kinds import Failure, Job, Kind, Outcome
from eventstore.sql.database import Database
from replay.adoption.adopt import Adoption
from replay.adoption.record import Progress
from tests.eventstore.jobs.rig import claim_anywhere

LEASE = timedelta(seconds=60)
NOBODY: Any = None
KIND: Kind = Adoption(*[NOBODY] * 5).kind()


def claim(database: Database, did: str | None = None, owner: str = "test") -> Job | None:
    if did is None:
        return claim_anywhere(database, KIND, owner)
    return queue.claim(database, KIND, owner=owner, lease=LEASE, subject=did)


def claimed(database: Database, did: str | None = None, owner: str = "test") -> Job:
    found = claim(database, did, owner)
    assert found is not None
    return found


def record(database: Database, job: Job, progress: Progress) -> bool:
    job.progress = vars(progress)
    return queue.extend(database, job, LEASE)


def fail(database: Database, job: Job, progress: Progress, problem: str, *, final: bool = False) -> None:
    job.progress = vars(progress)
    queue.fail(database, KIND, job, Failure(problem, final=final))


def finish(database: Database, job: Job, progress: Progress) -> None:
    job.progress = vars(progress)
    queue.settle(database, KIND, job, Outcome.DONE)
