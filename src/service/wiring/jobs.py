"""Wires the worker of a process: every kind of job with its handler."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import httpx

from application.account_deletion import Disconnect, deletion_kind
from eventstore.coordination.threads import Threads
from eventstore.event_log import EventLog
from eventstore.jobs.worker import Worker
from identity.resolution.address_policy import AddressPolicy
from identity.resolution.resolver import Resolver
from outbox.mirror.hosts import Hosts
from outbox.mirror.paced_pds import PacedPds
from outbox.record.kind import RecordKinds
from outbox.relay.relay import Relay
from outbox.repo.reads import RepoReads
from outbox.tracks.record import RecordUrls, TrackRecords
from replay.adoption.adopt import LISTING_TIMEOUT_SECONDS, Adoption
from replay.adoption.fetcher import Fetcher, OthersAddresses
from replay.adoption.intake import Intake
from replay.derived.worker import DerivedMedia
from replay.repair.worker import RepairJobs
from service.config.settings import Settings
from service.wiring.log import staging_folder
from storage.media import Media
from storage.public.publisher import Publisher

MAX_ADOPTION_THREADS: Final = 12
MAX_ADOPTION_STORE_THREADS: Final = 16
"""Every record of the concurrent adoptions."""
MAX_REPAIR_THREADS: Final = 4
MAX_DELETION_THREADS: Final = 4
MAX_DERIVED_STORE_THREADS: Final = 6
"""Every job of a process."""


@dataclass(frozen=True)
class JobParts:
    """What the handlers work with; `http` reaches the accounts' PDSes, and public addresses."""

    settings: Settings
    log: EventLog
    media: Media
    publisher: Publisher | None
    pds: PacedPds
    hosts: Hosts
    http: httpx.AsyncClient
    resolver: Resolver
    urls: RecordUrls
    kinds: RecordKinds
    relay: Relay
    disconnect: Disconnect
    owner: str

    def worker(self, adoptions: Adoption) -> Worker:
        """Build the worker, with these adoptions."""
        return Worker(
            self.log.database,
            [
                adoptions.kind(),
                self._repairs().kind(),
                *self._derived_media().kinds(),
                *(self.publisher.kinds.values() if self.publisher is not None else ()),
                deletion_kind(self.log, self.disconnect, Threads("deletions", MAX_DELETION_THREADS)),
            ],
            owner=self.owner,
            lease=timedelta(seconds=self.settings.lease_seconds),
        )

    def adoptions(self) -> Adoption:
        """Build what adopts records. Token refreshes never wait for its threads."""
        settings, media = self.settings, self.media
        threads = Threads("adoption", MAX_ADOPTION_THREADS)
        store_threads = Threads("adoption-store", MAX_ADOPTION_STORE_THREADS)
        others = self._others()
        fetcher = Fetcher(self.http, others.policy, staging_folder(settings), self.hosts, store_threads)
        return Adoption(
            self.log,
            RepoReads(self.pds, list_seconds=LISTING_TIMEOUT_SECONDS),
            Intake(fetcher, others, media, self.publisher, threads, store_threads, settings.max_upload_bytes),
            collections=(settings.collection, settings.old_collection),
            records=TrackRecords(self.urls),
            host_of=self.resolver.pds_of,
        )

    def _repairs(self) -> RepairJobs:
        threads, reads = Threads("repair", MAX_REPAIR_THREADS), RepoReads(self.pds)
        collection, wake = self.settings.collection, self.relay.wake
        return RepairJobs(self.log, reads, self.kinds, collection, threads, wake_relay=wake)

    def _derived_media(self) -> DerivedMedia:
        threads, others = Threads("derived-store", MAX_DERIVED_STORE_THREADS), self._others()
        folder = staging_folder(self.settings)
        fetcher = Fetcher(self.http, others.policy, folder, self.hosts, threads)
        return DerivedMedia(self.media, fetcher, others, threads)

    def _others(self) -> OthersAddresses:
        ours = (self.settings.base_url, self.settings.s3_public_url)
        policy = AddressPolicy(self.settings.dev_origins)
        return OthersAddresses(policy, [url for url in ours if url is not None])
