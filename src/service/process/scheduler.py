"""Schedules the periodic jobs: every process checks them every few minutes, and the one that gets a job's lease runs it."""

import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from apscheduler.schedulers.background import BackgroundScheduler

from eventstore.restore_detection import restored_because
from service.observability.metrics import IS_ONE_OF_SEVERAL
from service.observability.process_metrics import SAMPLE_SECONDS
from service.process.jobs import JOBS, Job, discard_abandoned_uploads, scan_job
from service.schema.high_water_mark import (
    RECORD_INTERVAL_SECONDS,
    try_record_high_water_mark,
)
from service.wiring.bootstrap import Container

logger: Final = logging.getLogger("mastertape.service")

MAX_POLL_INTERVAL_SECONDS: Final = 300


@contextmanager
def run_scheduler(container: Container) -> Generator[None]:
    """Run the jobs during the block; a job that is running at its end is not waited for."""
    scheduler = BackgroundScheduler(
        timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
    )
    for job in (*JOBS, scan_job(container.settings)):
        seconds = min(MAX_POLL_INTERVAL_SECONDS, job.interval.total_seconds())
        scheduler.add_job(run_if_due, "interval", seconds=seconds, jitter=seconds / 5, args=[container, job])
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
        container.stopping.set()
        scheduler.shutdown(wait=False)  # a sweep must not delay the relay's drain


def run_if_due(container: Container, job: Job) -> bool:
    """Run the job if it is due and no other process holds its lease; return whether it ran to its end.

    No job runs in a restored database before `mastertape recovered`: jobs delete bytes and refresh logins that the log no
    longer knows of.
    """
    try:
        with container.database.read() as connection:
            if restored_because(connection) is not None:
                return False
        with container.leases.acquire(job.name, lease=job.timeout, interval=job.interval) as acquired:
            if acquired:
                job.run(container)
            return acquired
    except Exception:
        logger.exception("job_failed", extra={"job": job.name})  # it stays due
        return False
