"""Runs a process's background work (relay, jobs, public copies, firehose, schedule) from its start to its orderly end."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, nullcontext
from typing import TYPE_CHECKING, Final

from sqlalchemy.exc import SQLAlchemyError

from eventstore.coordination.commit_signals import ANSWERS, Announcer, Listener
from eventstore.database import Database
from eventstore.errors import EventStoreError
from service.process.jobs import periodic_jobs, periodic_kind, request_periodic
from service.process.metrics_server import serve_metrics
from service.schema.high_water_mark import try_record_high_water_mark
from service.wiring.bootstrap import Container

if TYPE_CHECKING:
    from outbox.firehose.follower import Follower
from collections.abc import Generator
from contextlib import contextmanager

from apscheduler.schedulers.background import BackgroundScheduler

from service.observability.metrics import IS_ONE_OF_SEVERAL
from service.observability.process_metrics import SAMPLE_SECONDS
from service.observability.subscribers import woken_by_commits
from service.process.jobs import discard_abandoned_uploads
from service.schema.high_water_mark import (
    RECORD_INTERVAL_SECONDS,
)

logger: Final = logging.getLogger("mastertape.service")

RELAY_DRAIN_TIMEOUT_SECONDS: Final = 45.0
"""Longer than a request to a PDS may take. A later relay finds a cut off delivery by its intent and its expired lease."""
FOLLOWER_STOP_TIMEOUT_SECONDS: Final = 5.0
"""Another process follows an abandoned stream once its lease has expired."""
ANNOUNCER_STOP_TIMEOUT_SECONDS: Final = 2.0
"""Relays that miss an announcement find the work when they next poll."""


@asynccontextmanager
async def background_work(container: Container, *, relay: bool) -> AsyncGenerator["asyncio.Task[None]"]:
    """Run the background work during the block; then drain the relay, release its lanes and disconnect.

    Yields the relay's task, which ends before the block only if it fails.
    """
    stop = asyncio.Event()
    relay_task = asyncio.create_task(container.relay.run(stop) if relay else _idle(stop))
    relay_task.add_done_callback(lambda done: _log_failure(done, expected=stop.is_set()))
    try:
        async with (
            _run_announcer(container.announcer),
            _run_worker(container) if relay else nullcontext(),
            _run_listener(container, relay=relay),
            _run_follower(container.follower) if relay else nullcontext(),
        ):
            with run_scheduler(container), serve_metrics(container, lambda: not relay_task.done()):
                yield relay_task
    finally:
        stop.set()
        done, _ = await asyncio.wait({relay_task}, timeout=RELAY_DRAIN_TIMEOUT_SECONDS)
        if not done:
            logger.warning("relay_given_up", extra={"after_seconds": RELAY_DRAIN_TIMEOUT_SECONDS})
            relay_task.cancel()
        await asyncio.to_thread(try_record_high_water_mark, container.log, container.settings)
        await container.close()


@asynccontextmanager
async def _run_worker(container: Container) -> AsyncGenerator[None]:
    """Run the jobs beside the block; at the end, other processes continue what it has not finished."""
    jobs = periodic_jobs(container.settings)
    await asyncio.to_thread(request_periodic, container.database, [each.name for each in jobs])
    container.worker.add(periodic_kind(container, jobs))
    working = asyncio.create_task(container.worker.run())
    try:
        yield
    finally:
        container.stopping.set()  # a sweep must not delay the relay's drain
        working.cancel()
        await asyncio.wait({working})


@asynccontextmanager
async def _run_announcer(announcer: Announcer) -> AsyncGenerator[None]:
    announcer.start()
    try:
        yield
    finally:
        await asyncio.to_thread(announcer.stop, ANNOUNCER_STOP_TIMEOUT_SECONDS)


@asynccontextmanager
async def _run_listener(container: Container, *, relay: bool) -> AsyncGenerator[None]:
    """Hear of commits where a relay runs, and elsewhere of what its requests wait for."""
    waits, database = container.services.waits, container.database
    if relay:
        woken = woken_by_commits(container.wakes, elsewhere=True)
        listening = asyncio.create_task(container.listener.run(woken, waits.hear))
    elif not database.is_sqlite and await asyncio.to_thread(_is_direct, database):
        listening = asyncio.create_task(Listener(database, ANSWERS).run(waits.wake))
    else:  # its waits poll
        yield
        return
    try:
        yield
    finally:
        listening.cancel()
        await asyncio.wait({listening})


def _is_direct(database: Database) -> bool:
    try:
        database.require_direct()
    except (SQLAlchemyError, EventStoreError):
        return False
    return True


@asynccontextmanager
async def _run_follower(follower: "Follower | None") -> AsyncGenerator[None]:
    if follower is None:
        yield
        return
    stop = asyncio.Event()
    following = asyncio.create_task(follower.run(stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait({following}, timeout=FOLLOWER_STOP_TIMEOUT_SECONDS)
        following.cancel()


async def _idle(stop: asyncio.Event) -> None:
    await stop.wait()


def _log_failure(relay_task: "asyncio.Task[None]", *, expected: bool) -> None:
    if not expected and not relay_task.cancelled():
        logger.critical("relay_failed", exc_info=relay_task.exception())


@contextmanager
def run_scheduler(container: Container) -> Generator[None]:
    """Run the timers during the block."""
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
        scheduler.add_job(container.metrics.pools.sample, "interval", seconds=SAMPLE_SECONDS)
    scheduler.add_job(discard_abandoned_uploads, "interval", days=1, args=[container])
    scheduler.start()
    try:
        yield
    finally:
        scheduler.shutdown(wait=False)
