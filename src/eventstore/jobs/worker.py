"""The worker of a process: claims the due jobs of every kind within its limits, and runs their handlers.

It looks for due jobs where a commit may have left some, and at intervals everywhere.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import Final

from eventstore.coordination.due_parts import DueParts
from eventstore.coordination.process_names import has_ended as process_has_ended
from eventstore.coordination.threads import Threads
from eventstore.errors import LeaseLostError, NewerReleaseError
from eventstore.jobs import queue
from eventstore.jobs.kinds import Failure, Job, Kind, Outcome
from eventstore.jobs.next_jobs import accounts_with_work
from eventstore.sql.database import Database
from eventstore.streams.buckets import EVERY, Part, bucket_of

DEBOUNCE_SECONDS: Final = 0.5
"""One look for all that was committed meanwhile: every edit wakes the worker, and hardly any is work for it."""
HEARTBEAT_SECONDS: Final = 1.0
"""Between two looks at whether a job's progress is to be stored, or its lease to be extended."""
EXTENSIONS_IN_A_LEASE: Final = 3
MAX_THREADS: Final = 4
FAILED_LOOK_SECONDS: Final = 1.0
"""Before the next look after one that failed: what was due then would wait for a poll."""
STOP_TIMEOUT_SECONDS: Final = 5.0

logger: Final = logging.getLogger("mastertape.jobs")

Work = Callable[[Job], Awaitable[Outcome]]


class Worker:
    """`run` works in the background; `run_once` does what is due, and `run_now` one job, for the caller."""

    def __init__(
        self,
        database: Database,
        kinds: Iterable[Kind],
        *,
        owner: str,
        lease: timedelta,
        has_ended: Callable[[str], bool] = process_has_ended,
        may_work: Callable[[], bool] = lambda: True,
        on_settled: Callable[[], None] = lambda: None,
    ) -> None:
        """`may_work` says, in a thread, once a round and where something is due, whether this process may begin anything.

        `on_settled` is called after each job: it may have left work that no request of this process announces.
        """
        self._database: Final = database
        self._kinds: Final = {each.name: each for each in kinds}
        self._owner: Final = owner
        self._lease: Final = lease
        self._has_ended: Final = has_ended
        self._may_work: Final = may_work
        self._on_settled: Final = on_settled
        self._threads: Final = Threads("jobs", MAX_THREADS)
        self.parts: Final = DueParts(database, lambda: accounts_with_work(tuple(self._kinds.values()), EVERY))
        self._freed: Final = asyncio.Event()
        """A job has ended here, and another may begin."""
        self._is_outdated = False
        """This process has met what only a newer release knows, whose workers go on: it begins nothing any more."""
        self._running: Final[dict[asyncio.Task[bool], Job]] = {}

    def add(self, kind: Kind) -> None:
        self._kinds[kind.name] = kind

    def wake(self, *buckets: int) -> None:
        """Look for due jobs at once, in the parts of these buckets or in all; callable from any thread."""
        self.parts.wake(*buckets)

    async def run(self) -> None:
        """Work until cancelled; jobs that are running then are released, so that other processes continue them."""
        try:
            while True:
                self._freed.clear()
                try:
                    await self.start_due()
                except Exception:
                    logger.exception("job_claim_failed")
                    asyncio.get_running_loop().call_later(FAILED_LOOK_SECONDS, self.parts.make_due)
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(self.parts.seconds(), DEBOUNCE_SECONDS)):
                        await self.parts.woken.wait()
                        async with asyncio.timeout(DEBOUNCE_SECONDS):
                            await self._freed.wait()
        finally:
            draining = [task for task, job in self._running.items() if self._kinds[job.kind].drains]
            for task in self._running.keys() - {*draining}:
                task.cancel()
            if draining:
                await asyncio.wait(draining, timeout=STOP_TIMEOUT_SECONDS)
            for task in draining:  # the others may release their jobs, and are not to be interrupted in it
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)

    async def run_once(self) -> None:
        self.parts.make_due()
        while await self.start_due() or self.busy:
            await self.drain()
            self.parts.make_due()

    @property
    def busy(self) -> bool:
        return bool(self._running)

    async def drain(self) -> None:
        if self._running:
            await asyncio.wait({*self._running})

    async def run_now(self, kind: str, subject: str, work: Work | None = None) -> bool:
        """Run this job now, all of its turns, with another handler if one is given; False when another process runs it."""
        known = self._kinds[kind]
        claimed = await self._claim(known, subject)
        if claimed is None:
            return False
        while claimed is not None and await self._run(known, claimed, work or known.work):
            claimed = await self._claim(known, subject)
        return True

    async def start_due(self) -> bool:
        """Start what is due within the limits, in the parts to look into; return whether there was any."""
        parts, has_started = await self.parts.take(self._threads.run), False
        for name, due in (await self._threads.run(self._due, parts)).items():
            kind, waiting = self._kinds[name], deque(due)
            # bounded: jobs that end at once would keep other kinds from their turns
            for _ in range(self._room(kind)):
                while waiting and (claimed := await self._claim(kind, part=waiting[0])) is None:
                    waiting.popleft()
                if not waiting or claimed is None:
                    break
                waiting.rotate(-1)
                task = asyncio.create_task(self._run(kind, claimed, kind.work))
                self._running[task] = claimed
                task.add_done_callback(self._ended)
                has_started = True
        return has_started

    def _due(self, parts: Sequence[Part]) -> dict[str, list[Part]]:
        begins_round = self.parts.begins_round
        if not parts or self._is_outdated or (begins_round and not self._may_work()):
            return {}
        if begins_round:
            for kind in self._kinds.values():
                if kind.find_everywhere is not None:
                    kind.find_everywhere(self._database)
            queue.release_ended(self._database, self._kinds, self._has_ended, but=[self._owner])
        with_room = [kind for kind in self._kinds.values() if self._room(kind)]
        busy = {kind.name: self._busy(kind) for kind in with_room}
        due = queue.due_kinds(self._database, with_room, parts, busy=busy)
        return due if begins_round or (due and self._may_work()) else {}

    def _room(self, kind: Kind) -> int:
        return kind.max_concurrent - len(self._hosts(kind))

    def _hosts(self, kind: Kind) -> list[str]:
        """Return the host of each job of the kind that runs here."""
        return [job.host for job in list(self._running.values()) if job.kind == kind.name]

    def _busy(self, kind: Kind) -> list[str]:
        """Return the hosts that get no more jobs of the kind from this process now."""
        counted = Counter(filter(None, self._hosts(kind)))
        return [host for host, jobs in counted.items() if kind.max_per_host and jobs >= kind.max_per_host]

    def _ended(self, task: asyncio.Task[bool]) -> None:
        """Look into all parts: for jobs that waited for its room or its host's, and for those that it requested."""
        if self._kinds[self._running.pop(task).kind].leaves_work:
            self.parts.make_due()
        self._freed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("job_not_settled", exc_info=error)  # its lease expires, and it is tried again

    async def _claim(self, kind: Kind, subject: str | None = None, part: Part = EVERY) -> Job | None:
        """Claim a job in a thread. A thread cannot be cancelled: a cancellation waits for it, and releases the job."""
        claim = partial(queue.claim, self._database, kind, owner=self._owner, lease=self._lease)
        given = {"subject": subject, "part": part, "busy": self._busy(kind)}
        claiming = asyncio.create_task(self._threads.run(partial(claim, **given)))
        try:
            return await asyncio.shield(claiming)
        except asyncio.CancelledError:
            if (claimed := await claiming) is not None:
                await self._release(claimed)
            raise

    async def _release(self, claimed: Job) -> None:
        await self._threads.run(queue.release, self._database, claimed)

    async def _run(self, kind: Kind, claimed: Job, work: Work) -> bool:
        """Run an attempt, record how it ended, and return whether there is another turn; a lost lease is another worker's to record."""
        try:
            outcome = await self._while_leased(claimed, work)
            await self._threads.run(queue.settle, self._database, kind, claimed, outcome)
            if kind.leaves_work:
                self._on_settled()
            if outcome is Outcome.LATER:
                self._wake_after(claimed, claimed.again_after)
        except asyncio.CancelledError:
            if kind.ends_when_cancelled:
                await self._release(claimed)
            raise
        except LeaseLostError:
            logger.info("job_lost", extra=claimed.log_fields)  # cancelled, or another worker's
        except NewerReleaseError as error:
            logger.error("worker_outdated", extra={**claimed.log_fields, "reason": str(error)})  # noqa: TRY400 - expected
            self._is_outdated = True
            await self._release(claimed)
        except Exception as error:  # noqa: BLE001 - the row shows it, whatever it was
            await self._fail(kind, claimed, error)
        else:
            return outcome is Outcome.AGAIN
        return False

    async def _fail(self, kind: Kind, claimed: Job, error: Exception) -> None:
        failure = kind.judge(error)
        if failure is None:
            logger.error("job_failed", exc_info=error, extra=claimed.log_fields)
            failure = Failure(f"internal error: {type(error).__name__}; see the log `job_failed`")
        else:
            logger.info("job_retried", extra={**claimed.log_fields, "reason": failure.problem})
        if (pause := await self._threads.run(queue.fail, self._database, kind, claimed, failure)) is not None:
            self._wake_after(claimed, pause)

    def _wake_after(self, claimed: Job, pause: timedelta) -> None:
        """Look for due jobs then, which may be long before the next poll."""
        bucket = bucket_of(claimed.account)
        asyncio.get_running_loop().call_later(pause.total_seconds(), self.parts.make_due, bucket)

    async def _while_leased(self, claimed: Job, work: Work) -> Outcome:
        """Return what the work returns, and extend its lease meanwhile; raises LeaseLostError once that is lost.

        Then, as when the caller is cancelled, the work's task is cancelled and has ended before this does; what a thread of
        it does goes on, and finds its claim lost.
        """
        working = asyncio.ensure_future(work(claimed))
        extending = asyncio.create_task(self._extend(claimed))
        try:
            await asyncio.wait({working, extending}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise LeaseLostError
            return working.result()
        finally:
            working.cancel()
            extending.cancel()
            await asyncio.gather(working, extending, return_exceptions=True)

    async def _extend(self, claimed: Job) -> None:
        """Return once the lease is lost."""
        clock, pause = asyncio.get_running_loop().time, self._lease.total_seconds() / EXTENSIONS_IN_A_LEASE
        is_held, stored, extended_at = True, claimed.progress, clock()
        while is_held:
            await asyncio.sleep(min(HEARTBEAT_SECONDS, pause))
            if claimed.progress is stored and clock() < extended_at + pause:
                continue
            progress, begins_at = claimed.progress, clock()
            try:
                is_held = await self._threads.run(queue.extend, self._database, claimed, self._lease)
                stored, extended_at = progress, begins_at
            except Exception:  # the next beat tries again, until the lease is over
                logger.exception("lease_not_extended", extra=claimed.log_fields)
