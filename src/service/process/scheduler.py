"""The clock of the periodic jobs: every process looks every few minutes, and who gets the job's lease does it."""

import logging
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from apscheduler.schedulers.background import BackgroundScheduler

from eventstore.restore_detection import restored_because
from service.process.jobs import JOBS, Job, discard_uploads, scanning
from service.schema.high_water_mark import EVERY_SECONDS, keep_newest_if_possible
from service.wiring.bootstrap import Application

logger: Final = logging.getLogger("mastertape.service")

LOOK_SECONDS: Final = 300


@contextmanager
def scheduled(application: Application) -> Generator[None]:
    """Run the jobs for as long as the block; one that is under way at its end goes on to its own."""
    scheduler = BackgroundScheduler(
        timezone="UTC", job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None}
    )
    for job in (*JOBS, scanning(application.settings)):
        seconds = min(LOOK_SECONDS, job.every.total_seconds())
        scheduler.add_job(
            run_if_due, "interval", seconds=seconds, jitter=seconds / 5, args=[application, job]
        )
    scheduler.add_job(
        keep_newest_if_possible,
        "interval",
        seconds=EVERY_SECONDS,
        args=[application.log, application.settings],
    )
    scheduler.add_job(discard_uploads, "interval", days=1, args=[application])
    scheduler.start()
    try:
        yield
    finally:
        application.ending.set()
        scheduler.shutdown(wait=False)  # a sweep must not hold up the flights of the relay


def run_if_due(application: Application, job: Job) -> bool:
    """Run the job unless another process does, or has done so lately; whether it ran to its end.

    In a restored database none runs before it was recovered: they delete or use up what it does not know of.
    """
    try:
        with application.database.read() as connection:
            if restored_because(connection) is not None:
                return False
        with application.leases.held(job.name, at_most=job.at_most, every=job.every) as ours:
            if ours:
                job.run(application)
            return ours
    except Exception:
        logger.exception("job_failed", extra={"job": job.name})  # it stays due
        return False
