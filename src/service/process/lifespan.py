"""Runs a process's background work (relay, jobs, public copies, firehose, schedule) from its start to its orderly end."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Coroutine, Generator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any, Final

from apscheduler.schedulers.background import BackgroundScheduler
from sqlalchemy.exc import SQLAlchemyError

from aggregates.published import Subject
from eventstore.coordination.commit_signals import SETTLED, Listener
from eventstore.errors import EventStoreError
from eventstore.sql.database import Database
from replay.renewal import request_renewal
from service.observability.metrics import IS_ONE_OF_SEVERAL, SAMPLE_SECONDS
from service.observability.subscribers import woken_by_commits
from service.process.jobs import (
    discard_abandoned_uploads,
    periodic_jobs,
    periodic_kind,
    request_periodic,
)
from service.process.metrics_server import serve_metrics
from service.schema.high_water_mark import RECORD_INTERVAL_SECONDS, try_record_high_water_mark
from service.wiring.bootstrap import Container

logger: Final = logging.getLogger("mastertape.service")

RELAY_DRAIN_TIMEOUT_SECONDS: Final = 45.0
"""Longer than a request to a PDS may take. A later relay finds a cut off delivery by its intent and its expired lease."""
FOLLOWER_STOP_TIMEOUT_SECONDS: Final = 5.0
"""Another process follows an abandoned stream once its lease has expired."""
STORE_COUNTS_SECONDS: Final = 30
ANNOUNCER_STOP_TIMEOUT_SECONDS: Final = 2.0
"""Relays that miss an announcement find the work when they next poll."""


@asynccontextmanager
async def background_work(
    container: Container, *, relay: bool, beside_relay: bool = False
) -> AsyncGenerator["asyncio.Task[Any]"]:
    """Run the background work during the block; then drain the relay, release its lanes and disconnect.

    `beside_relay`, which polls in another process, this one delivers only what its own requests wait for.
    Yields the relay's task, which ends before the block only if it fails.
    """
    stop, database = asyncio.Event(), container.database
    runs = container.relay.run(stop, polls=relay) if relay or beside_relay else stop.wait()
    relay_task: asyncio.Task[Any] = asyncio.create_task(runs)

    def log_failure(done: "asyncio.Task[Any]") -> None:
        if not stop.is_set() and not done.cancelled():
            logger.critical("relay_failed", exc_info=done.exception())

    relay_task.add_done_callback(log_failure)
    try:
        async with AsyncExitStack() as stack:
            container.announcer.start()
            stack.push_async_callback(
                asyncio.to_thread, container.announcer.stop, ANNOUNCER_STOP_TIMEOUT_SECONDS
            )
            waits = container.services.waits
            if beside_relay:
                _announce_runs(container)
            if relay:
                jobs = periodic_jobs(container.settings)
                await asyncio.to_thread(request_periodic, database, [each.name for each in jobs])
                await asyncio.to_thread(request_renewal, container.log)
                container.worker.add(periodic_kind(container, jobs))
                await stack.enter_async_context(_running(container.worker.run()))
                stack.callback(stop.set)  # nor may an upload
                woken = woken_by_commits(container.wakes, elsewhere=True)
                await stack.enter_async_context(_running(container.listener.run(woken)))
                if container.follower is not None:
                    stop_following = asyncio.Event()
                    following = container.follower.run(stop_following)
                    await stack.enter_async_context(_running(following, stop_following))
            elif not database.is_sqlite and await asyncio.to_thread(_is_direct, database):
                await stack.enter_async_context(
                    _running(Listener(database, SETTLED).run(lambda *_: waits.wake()))
                )
            # what waits in any other process polls
            stack.enter_context(run_scheduler(container))
            stack.enter_context(serve_metrics(container, lambda: not relay_task.done()))
            yield relay_task
    finally:
        stop.set()
        done, _ = await asyncio.wait({relay_task}, timeout=RELAY_DRAIN_TIMEOUT_SECONDS)
        if not done:
            logger.warning("relay_given_up", extra={"after_seconds": RELAY_DRAIN_TIMEOUT_SECONDS})
            relay_task.cancel()
        await asyncio.to_thread(try_record_high_water_mark, container.log, container.settings)
        await container.close()


def _announce_runs(container: Container) -> None:
    """Tell other processes what the relay has settled here, and have the one that polls look for what a lane has next."""
    relay, announcer, settled_here = container.relay, container.announcer, container.relay.on_settled

    def settled(did: str, acknowledged: Mapping[Subject, int]) -> None:
        settled_here(did, acknowledged)
        announcer.announce_settled(did, acknowledged)

    relay.on_settled, relay.on_ended = settled, announcer.announce


@asynccontextmanager
async def _running(
    work: Coroutine[Any, Any, None], stop: asyncio.Event | None = None
) -> AsyncGenerator[None]:
    """Run the work beside the block, and cut it off at its end: other processes go on with what it has not finished.

    What hears of its end by `stop` has some time for it.
    """
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        if stop is None:
            task.cancel()
            await asyncio.wait({task})
        else:
            stop.set()
            await asyncio.wait({task}, timeout=FOLLOWER_STOP_TIMEOUT_SECONDS)
            task.cancel()


def _is_direct(database: Database) -> bool:
    try:
        database.require_direct()
    except (SQLAlchemyError, EventStoreError):
        return False
    return True


@contextmanager
def run_scheduler(container: Container) -> Generator[None]:
    scheduler = BackgroundScheduler(
        timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
    )
    scheduler.add_job(
        try_record_high_water_mark,
        "interval",
        seconds=RECORD_INTERVAL_SECONDS,
        args=[container.log, container.settings],
    )
    if IS_ONE_OF_SEVERAL:  # one of them answers for all
        scheduler.add_job(container.metrics.sample_connections, "interval", seconds=SAMPLE_SECONDS)
    store = container.metrics.deliveries.store
    scheduler.add_job(store, "interval", seconds=STORE_COUNTS_SECONDS, args=[container.database])
    scheduler.add_job(discard_abandoned_uploads, "interval", days=1, args=[container])
    scheduler.start()
    try:
        yield
    finally:
        scheduler.shutdown(wait=False)
