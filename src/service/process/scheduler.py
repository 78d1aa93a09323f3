"""What every process does for itself from time to time; what one process does for all is a periodic job (jobs.py)."""

from collections.abc import Generator
from contextlib import contextmanager

from apscheduler.schedulers.background import BackgroundScheduler

from service.observability.metrics import IS_ONE_OF_SEVERAL
from service.observability.process_metrics import SAMPLE_SECONDS
from service.process.jobs import discard_abandoned_uploads
from service.schema.high_water_mark import (
    RECORD_INTERVAL_SECONDS,
    try_record_high_water_mark,
)
from service.wiring.bootstrap import Container


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
