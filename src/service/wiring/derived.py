"""Wires the worker that makes what is derived from media."""

from typing import Final

import httpx

from eventstore.coordination.threads import Threads
from eventstore.database import Database
from identity.resolution.address_policy import AddressPolicy, origin_of
from outbox.mirror.hosts import Hosts
from replay.adoption.bytes import OthersAddresses
from replay.adoption.fetcher import Fetcher
from replay.derived.covers import Covers
from replay.derived.waveforms import Waveforms
from replay.derived.worker import DerivedWorker
from service.config.settings import Settings
from service.wiring.log import staging_folder
from storage.derived.jobs import DerivedKind
from storage.media import Media

MAX_DERIVED_THREADS: Final = 4
MAX_DERIVED_STORE_THREADS: Final = 6
"""Every job of a process."""


def derived_worker(
    settings: Settings, database: Database, media: Media, http: httpx.AsyncClient, hosts: Hosts
) -> DerivedWorker:
    """Build the worker; `http` reaches public addresses and those of development."""
    store_threads = Threads("derived-store", MAX_DERIVED_STORE_THREADS)
    policy = AddressPolicy(settings.dev_origins)
    ours = frozenset(origin_of(url) for url in (settings.base_url, settings.s3_public_url) if url is not None)
    fetcher = Fetcher(http, policy, staging_folder(settings), hosts, store_threads)
    covers = Covers(media, fetcher, OthersAddresses(policy, ours), store_threads)
    waveforms = Waveforms(media, staging_folder(settings), store_threads)
    makers = {
        DerivedKind.RENDITIONS: covers.make_renditions,
        DerivedKind.COVER: covers.fetch,
        DerivedKind.WAVEFORM: waveforms.make,
    }
    return DerivedWorker(database, Threads("derived", MAX_DERIVED_THREADS), makers)
