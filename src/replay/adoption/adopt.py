"""Adopts the records that an account's PDS holds already, as tracks or other subjects; nothing is written to the PDS.

Each record is a unit of its own, and known records are skipped: a run that was cut off is simply run again. Everything in a
run has a limit of time, so that accounts whose PDS or audio is slow take turns with others.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import groupby
from typing import Any, Final, Protocol

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from aggregates.errors import InvalidFieldError
from aggregates.published import Published
from eventstore.change import Envelope
from eventstore.coordination.threads import Threads
from eventstore.errors import LeaseLostError, is_of_row
from eventstore.event_log import EventLog
from eventstore.jobs import queue
from eventstore.jobs.kinds import Job, Kind, Outcome, Wanted
from eventstore.unit_of_work import UnitOfWork
from outbox.conflicts.conflicts import set_lane_host, subjects_of_records
from outbox.lists.items import request_album_texts
from outbox.mirror.namespace_moves import is_taken
from outbox.mirror.tables import lane
from outbox.pds.client import RecordKey, Remote
from outbox.record.kind import RecordKind
from outbox.relay.result import acknowledge_as_found
from outbox.repo.pages import Entry, UnreadableRecordError
from outbox.repo.reads import MAX_KEPT_BYTES, RepoReads
from replay.adoption.record import (
    MAX_NAMED_PROBLEMS,
    Problem,
    Progress,
    name_of,
    problem_of,
)
from replay.errors import BytesUnavailableError, PdsBusyError, PdsTroubleError, ReplayError
from replay.reconcile.verify import Repo, judge

ADOPTION: Final = "adoption"
MAX_CONCURRENT_ADOPTIONS: Final = 4
MAX_CONCURRENT_ADOPTIONS_OF_HOST: Final = 2
"""A slow PDS leaves room for the accounts of others."""
FIRST_PAUSE_SECONDS: Final = 5.0
MAX_PAUSE_SECONDS: Final = 3600.0
MAX_ATTEMPTS: Final = 30
"""About a day: after it, the owner has to request the adoption again."""
MAX_CONCURRENT_RECORDS: Final = 4
"""Of one account: live deliveries need requests to the PDS too."""
LISTING_TIMEOUT_SECONDS: Final = 300.0
TURN_SECONDS: Final = 300.0
"""After it a run begins no more records."""
MAX_PDS_ERRORS_IN_A_ROW: Final = 5
"""End a run: the PDS fails, and not its records."""

IsWanted = Callable[[sa.Connection], bool]
"""Whether this run may still make tracks, asked in the unit of work of each record."""
Report = Callable[[Progress], None]
"""Called when the records are listed, and after each of them."""
HostOf = Callable[[str], Awaitable[str]]
"""Resolves an account's PDS; raises errors of identity."""

logger: Final = logging.getLogger("mastertape.replay")


def request(connection: sa.Connection, did: str, envelope: Envelope, now: datetime) -> None:
    """Request an adoption; an unfinished one stays as it is."""
    host = connection.scalar(sa.select(lane.host).where(lane.did == did)) or ""
    queue.request(connection, [Wanted(ADOPTION, did, did, host, envelope)], now, again=True)


@dataclass(frozen=True)
class Adoptee:
    """A record whose bytes are stored: `subject` makes its subject, with one event, and `keep` runs after it in the same unit."""

    subject: Callable[[UnitOfWork], Published]
    keep: Callable[[UnitOfWork], None] = lambda _unit: None
    problems: Sequence[Problem] = ()


class Adopter(Protocol):
    @property
    def kind(self) -> RecordKind: ...

    def read(self, key: RecordKey, remote: Remote) -> Any:
        """Read a record; raises InvalidFieldError with the first field that the kind cannot have."""

    def brought(self, host: str, record: Any) -> AbstractAsyncContextManager[Adoptee]:
        """Bring what the record names into storage; raises BytesUnavailableError or PdsTroubleError."""


@dataclass(frozen=True)
class Adoption:
    """Adopts the records of some kinds, of one account after the other, as a job with a turn of one account each."""

    log: EventLog
    reads: RepoReads
    adopters: Sequence[Adopter]
    threads: Threads
    """For the database."""
    host_of: HostOf

    def kind(self) -> Kind:
        return Kind(
            ADOPTION,
            self.work,
            judge=judge,
            max_concurrent=MAX_CONCURRENT_ADOPTIONS,
            max_per_host=MAX_CONCURRENT_ADOPTIONS_OF_HOST,
            first_pause_seconds=FIRST_PAUSE_SECONDS,
            max_pause_seconds=MAX_PAUSE_SECONDS,
            max_attempts=MAX_ATTEMPTS,
            keeps_done=True,
        )

    async def work(self, job: Job, report: Report = lambda _progress: None) -> Outcome:
        """Run a turn; raises LeaseLostError where another worker has the job, or the account is being deleted."""
        # after a failure everything is tried again; what a turn refused, the next turn of the same attempt does not
        progress = Progress(**job.progress) if job.progress and job.problem is None else Progress()

        def store(progress: Progress) -> None:
            job.progress = {**vars(progress)}
            report(progress)

        repo = Repo(job.subject, await self.host_of(job.subject))
        is_wanted = partial(queue.is_held, claimed=job)
        is_done = await Turn(self, repo, job.envelope, progress, store, is_wanted).run()
        store(progress)
        if is_done:
            await self.threads.run(self._request_album_texts, job.subject)
        counts = {name: getattr(progress, name) for name in ("found", "known", "adopted", "refused")}
        logger.info("records_adopted", extra={"did": job.subject, "done": is_done, **counts})
        return Outcome.DONE if is_done else Outcome.AGAIN

    def _request_album_texts(self, did: str) -> None:
        with self.log.database.write() as connection:
            request_album_texts(connection, did, self.log.database.now(connection))

    async def preview(self, did: str) -> Progress:
        """Read the records without their bytes, and count as adopted what a run would try to adopt; raises as a turn, and errors of identity."""
        progress = Progress()
        records, progress.adopted = await self.new_records(Repo(did, await self.host_of(did)), progress)
        for key, entry in records:
            try:
                await self.threads.run(self.record_in, key, entry)
                progress.adopted += 1
            except InvalidFieldError as error:
                progress.refuse(_invalid(key, error))
        return progress

    def record_in(self, key: RecordKey, entry: Entry) -> tuple[Adopter, Remote, Any]:
        """Read a record, in a thread, since a large one takes longer than other work may wait; raises InvalidFieldError."""
        adopter = next(each for each in self.adopters if key.collection in each.kind.collections)
        try:
            remote = entry.record()
        except UnreadableRecordError as error:
            raise InvalidFieldError("record", str(error)) from None
        return adopter, remote, adopter.read(key, remote)

    async def new_records(
        self, repo: Repo, progress: Progress
    ) -> tuple[Sequence[tuple[RecordKey, Entry]], int]:
        """Return the records to adopt, as many as may be kept, and how many are left to the next run."""
        known = await self.threads.run(self._known, repo.did)
        refused = {problem["uri"] for problem in progress.problems if not problem["adopted"]}
        new: list[tuple[RecordKey, Entry]] = []
        listed = unknown = left = 0
        left_bytes = MAX_KEPT_BYTES
        try:
            async with asyncio.timeout(LISTING_TIMEOUT_SECONDS):
                async for key, entry in self._listed(repo):
                    listed += 1
                    if (key.collection, key.rkey) in known:
                        continue
                    unknown += 1
                    if name_of(key) in refused:
                        continue
                    left_bytes -= len(entry.json or b"")
                    if left or (left_bytes < 0 and new):
                        left += 1
                    else:
                        new.append((key, entry))
        except TimeoutError:
            raise PdsTroubleError(
                f"the PDS did not list its records within {LISTING_TIMEOUT_SECONDS:.0f} seconds"
            ) from None
        progress.found, progress.refused = listed, unknown - len(new) - left
        progress.known = max(0, listed - unknown - progress.adopted)
        return new, left

    async def _listed(self, repo: Repo) -> AsyncIterator[tuple[RecordKey, Entry]]:
        for collection in (name for each in self.adopters for name in each.kind.collections):
            async for entry in self.reads.records(repo.host, repo.did, collection):
                yield RecordKey(repo.did, collection, entry.rkey or entry.uri), entry

    def _known(self, did: str) -> set[tuple[str, str]]:
        with self.log.database.read() as connection:
            return set(subjects_of_records(connection, did))


def _invalid(key: RecordKey, error: InvalidFieldError) -> Problem:
    return problem_of(key, "invalid_field", str(error), field=error.field, limit=error.limit)


@dataclass
class Turn:
    """One turn of an account's adoption: its new records, a few at once."""

    adoption: Adoption
    repo: Repo
    envelope: Envelope
    progress: Progress
    report: Report
    is_wanted: IsWanted
    pds_errors_in_a_row: int = 0

    async def run(self) -> bool:
        """Adopt records that are no track yet and that `progress` does not refuse, count them, and return whether that was all.

        The first error that is not a record's own ends the turn: RemoteUnknownError or PdsTroubleError when the PDS does not
        answer, LeaseLostError once it is not wanted, ReplayError where another turn would refuse the same records again.
        """
        records, left = await self.adoption.new_records(self.repo, self.progress)
        self.report(self.progress)
        clock = asyncio.get_running_loop().time
        ends_at = clock() + TURN_SECONDS

        async def adopt_waiting(waiting: Iterator[tuple[RecordKey, Entry]]) -> None:
            nonlocal left
            for key, entry in waiting:
                if clock() >= ends_at:
                    left += 1
                    return
                await self._adopt_or_refuse(key, entry)
                self.report(self.progress)

        try:
            # all tracks first, so that likes and comments find theirs
            for _, of_kind in groupby(records, lambda each: each[0].collection):
                waiting = iter([*of_kind])
                async with asyncio.TaskGroup() as group:
                    for _ in range(MAX_CONCURRENT_RECORDS):
                        group.create_task(adopt_waiting(waiting))
        except ExceptionGroup as errors:
            raise errors.exceptions[0] from None
        if left and len(self.progress.problems) >= MAX_NAMED_PROBLEMS:
            raise ReplayError(
                f"{MAX_NAMED_PROBLEMS} records have problems, and no more are remembered from one turn to the next;"
                " correct those that are named"
            )
        return not left

    async def _adopt_or_refuse(self, key: RecordKey, entry: Entry) -> None:
        try:
            await self._adopt(key, entry)
        except InvalidFieldError as error:
            self.progress.refuse(_invalid(key, error))
        except DBAPIError as error:
            if not is_of_row(error):
                raise
            logger.exception("record_not_adopted", extra={"did": key.did, "uri": key.uri})
            self.progress.refuse(_invalid(key, InvalidFieldError("record", "the database cannot hold it")))
        except BytesUnavailableError as error:
            self.progress.refuse(problem_of(key, "bytes_unavailable", str(error), reason=error.code))
        except PdsTroubleError as error:
            self.pds_errors_in_a_row += 1
            if isinstance(error, PdsBusyError) or self.pds_errors_in_a_row >= MAX_PDS_ERRORS_IN_A_ROW:
                raise
            self.progress.refuse(problem_of(key, "bytes_unavailable", str(error), reason="pds_trouble"))
        else:
            self.pds_errors_in_a_row = 0

    async def _adopt(self, key: RecordKey, entry: Entry) -> None:
        log, threads = self.adoption.log, self.adoption.threads
        adopter, remote, record = await threads.run(self.adoption.record_in, key, entry)
        async with adopter.brought(self.repo.host, record) as adoptee:

            def commit(unit: UnitOfWork) -> bool:
                if not self.is_wanted(unit.connection):
                    raise LeaseLostError
                made = adopt_record(unit, key, remote, self.repo.host, adoptee.subject)
                adoptee.keep(unit)
                return made is not None

            is_new: bool = await threads.run(lambda: log.transact(key.did, self.envelope, commit))
        self.progress.adopted += is_new
        self.progress.known += not is_new
        for problem in adoptee.problems:
            self.progress.add_problem(problem)


def adopt_record(
    unit: UnitOfWork, key: RecordKey, remote: Remote, host: str, make: Callable[[UnitOfWork], Published]
) -> Published | None:
    """Make the subject of a record, as it is on the PDS; None where it has one."""
    connection = unit.connection
    if is_taken(connection, key):
        return None
    subject = make(unit)
    [change] = unit.save(subject)
    found = remote.cid or "", remote.body or {}
    acknowledge_as_found(connection, key, change.position, found, unit.now)
    set_lane_host(connection, key.did, host)
    return subject
