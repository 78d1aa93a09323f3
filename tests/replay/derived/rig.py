"""The worker of derived media on an adopted account, whose covers an internet in memory has."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import httpx

from eventstore.coordination.threads import Threads
from eventstore.jobs.table import job
from eventstore.jobs.worker import Worker
from identity.resolution.address_policy import AddressPolicy, origin_of
from outbox.mirror.hosts import Hosts
from replay.adoption.bytes import OthersAddresses
from replay.adoption.fetcher import Fetcher
from replay.derived.covers import Covers
from replay.derived.worker import derived_kinds
from storage.derived.jobs import DerivedKind
from storage.derived.renditions import rendition_of
from tests.replay.adoption.rig import SERVICE, AdoptRig

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping


def cover_worker(rig: AdoptRig, http: httpx.AsyncClient | None = None) -> Worker:
    """The worker, which makes no waveforms."""
    threads, policy = Threads("derived", 6), AddressPolicy()
    fetcher = Fetcher(http or rig.http, policy, rig.staging, Hosts(rig.database), threads)
    others = OthersAddresses(policy, frozenset({origin_of(SERVICE)}))
    covers = Covers(rig.media, fetcher, others, threads)
    makers: Mapping[DerivedKind, Callable[[str], Awaitable[None]]] = {
        DerivedKind.RENDITIONS: covers.make_renditions,
        DerivedKind.COVER: covers.fetch,
    }
    return Worker(rig.database, derived_kinds(makers), owner="test", lease=timedelta(seconds=60))


def has_cover(rig: AdoptRig, source: str) -> bool:
    """Whether the renditions of a cover are stored."""
    with rig.database.read() as connection:
        return rendition_of(connection, source, 480) is not None


def jobs_of(rig: AdoptRig) -> dict[str, Any]:
    """The states of the jobs, by source."""
    with rig.database.read() as connection:
        return {
            row.subject: row.state
            for row in connection.execute(job.select().where(job.c.kind != DerivedKind.WAVEFORM))
        }
