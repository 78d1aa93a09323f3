"""Wires the worker of a process: every kind of job with its handler."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import httpx

from application.account_deletion import Disconnect, deletion_kind
from eventstore.coordination.threads import Threads
from eventstore.event_log import EventLog
from eventstore.jobs.worker import Worker
from identity.resolution.address_policy import AddressPolicy, origin_of
from identity.resolution.resolver import Resolver
from outbox.mirror.hosts import Hosts
from outbox.mirror.paced_pds import PacedPds
from outbox.record.kind import RecordKinds
from outbox.relay.relay import Relay
from outbox.repo.reads import RepoReads
from outbox.tracks.record import RecordUrls, TrackRecords
from projections.media_references import was_named_by
from replay.adoption.adopt import LISTING_TIMEOUT_SECONDS, Adoption
from replay.adoption.bytes import OthersAddresses, ProvenBytes
from replay.adoption.fetcher import Fetcher
from replay.adoption.intake import Intake
from replay.adoption.jobs import AdoptionJobs
from replay.derived.covers import Covers
from replay.derived.waveforms import Waveforms
from replay.derived.worker import Maker, derived_kinds
from replay.repair.worker import RepairJobs
from service.config.settings import Settings
from service.wiring.log import staging_folder
from storage.derived.jobs import DerivedKind
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

    def worker(self, adoptions: AdoptionJobs) -> Worker:
        """Build the worker, with these adoptions."""
        return Worker(
            self.log.database,
            [
                adoptions.kind(),
                self._repairs().kind(),
                *derived_kinds(self._makers()),
                *(self.publisher.kinds.values() if self.publisher is not None else ()),
                deletion_kind(self.log, self.disconnect, Threads("deletions", MAX_DELETION_THREADS)),
            ],
            owner=self.owner,
            lease=timedelta(seconds=self.settings.lease_seconds),
        )

    def adoptions(self) -> AdoptionJobs:
        """Build what adopts records. Token refreshes never wait for its threads."""
        settings, media = self.settings, self.media
        threads = Threads("adoption", MAX_ADOPTION_THREADS)
        store_threads = Threads("adoption-store", MAX_ADOPTION_STORE_THREADS)
        proven = ProvenBytes(
            self.http,
            AddressPolicy(settings.dev_origins),
            media,
            staging_folder(settings),
            self.hosts,
            threads=store_threads,
            is_owned=self._is_owned,
            own_urls=self._own_urls(),
        )
        adoption = Adoption(
            self.log,
            RepoReads(self.pds, list_seconds=LISTING_TIMEOUT_SECONDS),
            Intake(proven, media, self.publisher, threads, store_threads, settings.max_upload_bytes),
            collections=(settings.collection, settings.old_collection),
            records=TrackRecords(self.urls),
        )
        return AdoptionJobs(adoption, self.resolver.pds_of)

    def _repairs(self) -> RepairJobs:
        threads, reads = Threads("repair", MAX_REPAIR_THREADS), RepoReads(self.pds)
        collection, wake = self.settings.collection, self.relay.wake
        return RepairJobs(self.log, reads, self.kinds, collection, threads, wake_relay=wake)

    def _makers(self) -> dict[DerivedKind, Maker]:
        settings, media = self.settings, self.media
        threads = Threads("derived-store", MAX_DERIVED_STORE_THREADS)
        policy = AddressPolicy(settings.dev_origins)
        ours = frozenset(origin_of(url) for url in self._own_urls())
        fetcher = Fetcher(self.http, policy, staging_folder(settings), self.hosts, threads)
        covers = Covers(media, fetcher, OthersAddresses(policy, ours), threads)
        return {
            DerivedKind.RENDITIONS: covers.make_renditions,
            DerivedKind.COVER: covers.fetch,
            DerivedKind.WAVEFORM: Waveforms(media, staging_folder(settings), threads).make,
        }

    def _own_urls(self) -> tuple[str, ...]:
        return tuple(url for url in (self.settings.base_url, self.settings.s3_public_url) if url is not None)

    def _is_owned(self, did: str, cid: str) -> bool:
        with self.log.database.read() as connection:
            return was_named_by(connection, did, cid)
