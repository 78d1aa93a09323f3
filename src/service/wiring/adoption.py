"""Wires the worker that adopts records which a PDS already holds."""

from datetime import timedelta
from typing import Final

import httpx

from eventstore.coordination.threads import Threads
from eventstore.event_log import EventLog
from identity.resolution.address_policy import AddressPolicy
from identity.resolution.resolver import Resolver
from outbox.mirror.hosts import Hosts
from outbox.mirror.paced_pds import PacedPds
from outbox.record.lexicon import track_lexicon
from outbox.record.record import RecordUrls
from outbox.repo.reads import RepoReads
from projections.media_references import was_named_by
from replay.adoption.adopt import LISTING_TIMEOUT_SECONDS, Adoption
from replay.adoption.bytes import ProvenBytes
from replay.adoption.intake import Intake
from replay.adoption.worker import AdoptionWorker
from service.config.settings import Settings
from storage.media import Media
from storage.public.publisher import Publisher

MAX_ADOPTION_THREADS: Final = 12
MAX_ADOPTION_STORE_THREADS: Final = 16
"""Every record of the concurrent adoptions."""


def adoption_worker(
    settings: Settings,
    *,
    log: EventLog,
    media: Media,
    publisher: Publisher | None,
    pds: PacedPds,
    hosts: Hosts,
    http: httpx.AsyncClient,
    resolver: Resolver,
    urls: RecordUrls,
    owner: str,
) -> AdoptionWorker:
    """Build the worker; `http` is the client that reaches the accounts' PDSes. Token refreshes never wait for its threads."""

    def is_owned(did: str, cid: str) -> bool:
        with log.database.read() as connection:
            return was_named_by(connection, did, cid)

    threads = Threads("adoption", MAX_ADOPTION_THREADS)
    store_threads = Threads("adoption-store", MAX_ADOPTION_STORE_THREADS)
    proven = ProvenBytes(
        http,
        AddressPolicy(settings.dev_origins),
        media,
        settings.data / "staging",
        hosts,
        threads=store_threads,
        is_owned=is_owned,
        own_urls=tuple(url for url in (settings.base_url, settings.s3_public_url) if url is not None),
    )
    adoption = Adoption(
        log,
        RepoReads(pds, list_seconds=LISTING_TIMEOUT_SECONDS),
        Intake(proven, media, publisher, threads, store_threads, settings.max_upload_bytes),
        collections=(settings.collection, settings.old_collection),
        urls=urls,
        lexicon=track_lexicon(),
    )
    lease = timedelta(seconds=settings.lease_seconds)
    return AdoptionWorker(log.database, adoption, resolver.pds_of, threads, owner=owner, lease=lease)
