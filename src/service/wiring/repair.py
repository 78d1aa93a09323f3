"""Wires the worker that plans and applies repairs."""

from collections.abc import Callable
from datetime import timedelta
from typing import Final

from eventstore.coordination.threads import Threads
from eventstore.event_log import EventLog
from outbox.mirror.paced_pds import PacedPds
from outbox.record.record import RecordUrls
from outbox.repo.reads import RepoReads
from replay.repair.worker import RepairWorker
from service.config.settings import Settings

MAX_REPAIR_THREADS: Final = 4


def repair_worker(
    settings: Settings,
    log: EventLog,
    pds: PacedPds,
    urls: RecordUrls,
    *,
    owner: str,
    wake_relay: Callable[[], None],
) -> RepairWorker:
    """Build the worker."""
    return RepairWorker(
        log,
        RepoReads(pds),
        urls,
        settings.collection,
        Threads("repair", MAX_REPAIR_THREADS),
        owner=owner,
        lease=timedelta(seconds=settings.lease_seconds),
        wake_relay=wake_relay,
    )
