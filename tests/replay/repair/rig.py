"""Accounts with drifted records in a PDS in memory, and the workers that repair them."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from application.operators import apply_repair, start_repair
from eventstore.change import Envelope
from eventstore.coordination.threads import Threads
from eventstore.jobs import queue
from eventstore.jobs.kinds import Failure, Job, Outcome
from eventstore.jobs.worker import Worker
from outbox.operations.operators import Operator
from outbox.pds.client import Pds
from outbox.repo.reads import RepoReads
from replay.reconcile.verify import Verifier, repos_of
from replay.repair import jobs
from replay.repair.plan import steps_in
from replay.repair.worker import RepairJobs, apply_some
from tests.eventstore.jobs.rig import claim_anywhere
from tests.outbox.rigs.relay_rig import Rig
from tests.outbox.rigs.replays import lost

if TYPE_CHECKING:
    from replay.reconcile.drift import Drift

LEASE = timedelta(seconds=60)
ADMIN = Operator(Envelope(actor="did:plc:admin", via="browser", request_id="r"), "records were lost")


def repairs(rig: Rig) -> RepairJobs:
    return RepairJobs(rig.log, reads(rig), rig.kinds, Threads("repair", 4))


def a_worker(rig: Rig, owner: str = "one") -> Worker:
    return Worker(rig.database, [repairs(rig).kind()], owner=owner, lease=LEASE)


def reads(rig: Rig) -> RepoReads:
    return RepoReads(Pds(rig.wire, rig.wire.http))


async def planned(rig: Rig) -> int:
    repair_id = start_repair(rig.log, rig.did, ADMIN)
    await a_worker(rig).run_once()
    assert row(rig, repair_id).state == "planned", row(rig, repair_id).problem
    return repair_id


def decided(rig: Rig, repair_id: int, *, max_deletes: int = 0) -> None:
    digest = row(rig, repair_id).digest
    apply_repair(rig.log, repair_id, ADMIN, digest=digest, max_deletes=max_deletes)


def row(rig: Rig, repair_id: int) -> Any:
    with rig.database.read() as connection:
        return jobs.repair_of(connection, repair_id, whole=True)


def the_row(rig: Rig) -> Any:
    with rig.database.read() as connection:
        [found] = jobs.repairs(connection, did=rig.did, limit=1)
        return jobs.repair_of(connection, found.id, whole=True)


def progress(rig: Rig, repair_id: int) -> tuple[str, int, int]:
    found = row(rig, repair_id)
    return found.state, found.applied, found.skipped


def claimed(rig: Rig, owner: str) -> Job | None:
    return claim_anywhere(rig.database, repairs(rig).kind(), owner, LEASE)


class ProcessStep:
    """What a process does with a claimed repair, one unit at a time: the test says when, and whether there is another."""

    def __init__(self, rig: Rig, job: Job) -> None:
        self._rig, self._job = rig, job
        self._found: dict[Any, Drift] = {}

    async def compares(self) -> None:
        [repo] = repos_of(self._rig.database, self._rig.did)
        found = await Verifier(self._rig.database, reads(self._rig)).compare(repo)
        self._found = {drift.key: drift for drift in found.drifts}

    def applies_some(self) -> bool:
        steps = steps_in(the_row(self._rig).steps, self._rig.did)
        return self._rig.log.transact(
            self._rig.did,
            self._job.envelope,
            lambda unit: apply_some(unit, self._job, steps, self._found),
        )

    def fails(self, problem: str) -> None:
        queue.fail(self._rig.database, repairs(self._rig).kind(), self._job, Failure(problem))

    def ends(self) -> None:
        queue.settle(self._rig.database, repairs(self._rig).kind(), self._job, Outcome.DONE)


async def a_process(rig: Rig, owner: str) -> ProcessStep:
    """A process that has claimed the repair and compared the repo."""
    job = claimed(rig, owner)
    assert job is not None
    process = ProcessStep(rig, job)
    await process.compares()
    return process


async def a_repair_being_applied(rig: Rig, records: int, owner: str) -> tuple[int, ProcessStep]:
    """A repair of so many lost records that an admin has decided, and the process that has begun it and applied none yet."""
    await lost(rig, records)
    repair_id = await planned(rig)
    decided(rig, repair_id)
    return repair_id, await a_process(rig, owner)
