"""The worker of derived media on an adopted account, whose covers an internet in memory has."""

from datetime import timedelta
from typing import Any

import httpx

from eventstore.coordination.threads import Threads
from eventstore.jobs.table import job
from eventstore.jobs.worker import Worker
from identity.resolution.address_policy import AddressPolicy
from outbox.mirror.hosts import Hosts
from replay.adoption.fetcher import Fetcher, OthersAddresses
from replay.derived import DerivedMedia
from storage.derived.renditions import DerivedKind, rendition_of
from tests.replay.adoption.rig import SERVICE, AdoptRig


def cover_worker(
    rig: AdoptRig, http: httpx.AsyncClient | None = None, threads: Threads | None = None
) -> Worker:
    threads = threads or Threads("derived", 6)
    others = OthersAddresses(AddressPolicy(), [SERVICE])
    fetcher = Fetcher(http or rig.http, others.policy, rig.staging, Hosts(rig.database), threads)
    kinds = DerivedMedia(rig.media, fetcher, others, threads).kinds()
    of_covers = [kind for kind in kinds if kind.name != DerivedKind.WAVEFORM]
    return Worker(rig.database, of_covers, owner="test", lease=timedelta(seconds=60))


def has_cover(rig: AdoptRig, source: str) -> bool:
    with rig.database.read() as connection:
        return rendition_of(connection, source, 480) is not None


def jobs_of(rig: AdoptRig) -> dict[str, Any]:
    with rig.database.read() as connection:
        return {
            row.subject: row.state
            for row in connection.execute(job.select().where(job.c.kind != DerivedKind.WAVEFORM))
        }
