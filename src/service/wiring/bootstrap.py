"""The composition root: builds every part of a process from the settings. No part connects before its first use."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from socket import socket
from threading import Event
from typing import TYPE_CHECKING, Final

import httpx

from api.middleware.rate_limits import RateLimits
from api.pipeline import media_intake as intake
from api.pipeline import media_reads as reads
from api.services import MediaThreads, Services
from application.event_poller import EventPoller
from eventstore.coordination.commit_signals import Announcer, Listener
from eventstore.coordination.process_names import process_name
from eventstore.coordination.threads import Threads
from eventstore.database import Database
from eventstore.event_log import EventLog
from eventstore.jobs.periodic import runs
from eventstore.jobs.worker import Worker
from identity.resolution.address_policy import MAX_CONNECTIONS
from identity.resolution.featured_artists import FeaturedArtists, turns_of_lookups
from identity.resolution.resolver import Resolver
from identity.sessions.pds_sessions import PdsSessions
from outbox.mirror.hosts import Hosts
from outbox.mirror.paced_pds import PacedPds
from outbox.pds.client import Pds
from outbox.record.kind import RecordKinds
from outbox.relay.relay import Relay
from outbox.repo.reads import RepoReads
from outbox.repo.record_reads import RecordReads
from outbox.tracing import NO_TRACING
from outbox.tracks.record import RecordUrls
from outbox.views.waits import MirrorWaits
from replay.adoption.jobs import AdoptionJobs
from replay.reconcile.verify import Verifier
from service.config.settings import Settings
from service.observability.media_health import MediaHealth
from service.observability.metrics import Metrics
from service.observability.readiness import why_not_ready, why_silent
from service.schema.migrate import newest
from service.wiring.adapters import HttpSupporters, IdentitySessions
from service.wiring.firehose import firehose_follower
from service.wiring.identity import (
    IdentityParts,
    guarded_client,
    identity_parts,
    pds_http_client,
    resolver_of,
)
from service.wiring.jobs import JobParts
from service.wiring.log import media_store, open_log, record_kinds, record_urls, staging_folder
from service.wiring.relay import relay_of
from storage.media import Media
from storage.public.publisher import Publisher
from storage.store import public_copies

if TYPE_CHECKING:
    from outbox.firehose.follower import Follower
    from service.observability.otel import Tracer

MAX_APPLICATION_THREADS: Final = 8
MAX_HEALTH_THREADS: Final = 4
MAX_HEALTH_WAIT_SECONDS: Final = 2.0
MAX_VERIFY_WAIT_SECONDS: Final = 30.0


@dataclass(frozen=True)
class Inherited:
    """What a process of `serve --workers` gets from its supervisor."""

    rate_limits: int | None = None
    """The descriptor of the memory in which all of them count requests."""
    metrics: socket | None = None
    """The socket of METRICS, which outlives the process."""


@dataclass(frozen=True)
class Container:
    """The parts of one process."""

    settings: Settings
    database: Database
    log: EventLog
    media: Media
    services: Services
    hosts: Hosts
    relay: Relay
    worker: Worker
    adoptions: AdoptionJobs
    publisher: Publisher | None
    """None where the store has no public copies."""
    metrics: Metrics
    announcer: Announcer
    listener: Listener
    sessions: PdsSessions
    clients: tuple[httpx.AsyncClient, ...]
    follower: "Follower | None"
    """None unless FIREHOSE is on."""
    stopping: Event = field(default_factory=Event)
    """Set when the process stops: jobs leave the rest of their work to other processes."""
    metrics_listener: socket | None = None
    """None unless this process serves METRICS."""
    tracer: "Tracer | None" = None
    """None unless it is traced."""

    async def close(self) -> None:
        """Finish refreshes of sessions, which must not be cut off, and disconnect."""
        await self.sessions.finish()
        for client in self.clients:
            await client.aclose()
        await asyncio.to_thread(self.log.close)
        if self.tracer is not None:
            await asyncio.to_thread(self.tracer.close)


def build(
    settings: Settings, inherited: Inherited | None = None, tracer: "Tracer | None" = None
) -> Container:
    """Build the container. Nothing is started yet."""
    inherited = inherited or Inherited()
    log = open_log(settings)
    database = log.database
    media = Media(database, media_store(settings))
    relay_http = pds_http_client(
        settings, MAX_CONNECTIONS + 2 * settings.lanes
    )  # a lane delivers and refreshes
    sign_in_http, requests_http = pds_http_client(settings), pds_http_client(settings)
    own_http = guarded_client(settings.supporters_url)
    clients = (relay_http, sign_in_http, requests_http, own_http)
    metrics, listener = Metrics(), Listener(database)
    metrics.watch(log, listener)
    identity = identity_parts(settings, log, relay_http, sign_in_http, on_refresh=metrics.refreshed)
    sessions, hosts = IdentitySessions(identity.sessions), Hosts(database)
    pds = PacedPds(sessions, requests_http, hosts)
    owner = process_name()
    copies = public_copies(media.store)
    lease = timedelta(seconds=settings.lease_seconds)
    publisher = Publisher(media, copies, lease=lease) if copies is not None else None
    urls = record_urls(settings, media.store)
    kinds = record_kinds(urls)
    relay = relay_of(
        settings,
        log=log,
        hosts=hosts,
        media=media,
        pds=Pds(sessions, relay_http),
        paced=PacedPds(sessions, relay_http, hosts),
        resolver=resolver_of(settings, relay_http),
        kinds=kinds,
        owner=owner,
        metrics=metrics,
        tracing=tracer or NO_TRACING,
    )
    if tracer is not None:
        tracer.watch(database.engine, clients)
    resolver = resolver_of(settings, requests_http)
    parts = JobParts(
        settings=settings,
        log=log,
        media=media,
        publisher=publisher,
        pds=pds,
        hosts=hosts,
        http=requests_http,
        resolver=resolver,
        urls=urls,
        kinds=kinds,
        relay=relay,
        disconnect=identity.sessions.disconnect,
        owner=owner,
    )
    adoptions = parts.adoptions()
    worker = parts.worker(adoptions)
    announcer = Announcer(database)
    store = MediaHealth(media, settings.media, settings.folders)
    metrics.watch_disks(store.free)
    services = _services(
        settings,
        store=store,
        log=log,
        media=media,
        own_http=own_http,
        identity=identity,
        resolver=resolver,
        featured_artists=FeaturedArtists(resolver_of(settings, requests_http, turns_of_lookups())),
        pds=pds,
        urls=urls,
        kinds=kinds,
        publisher=publisher,
        relay=relay,
        announcer=announcer,
        wake=_waker(relay, worker, publisher, announcer),
        metrics=metrics,
        rate_limits=RateLimits(inherited.rate_limits) if settings.rate_limits else None,
    )
    pools = (services.threads, services.health_threads, *vars(services.media_threads).values())
    metrics.pools.watch(database, pools)
    follower = firehose_follower(settings, database, hosts, owner=owner, wake=services.wake, metrics=metrics)
    return Container(
        settings=settings,
        database=database,
        log=log,
        media=media,
        services=services,
        hosts=hosts,
        relay=relay,
        worker=worker,
        adoptions=adoptions,
        publisher=publisher,
        metrics=metrics,
        announcer=announcer,
        listener=listener,
        sessions=identity.sessions,
        clients=clients,
        follower=follower,
        metrics_listener=inherited.metrics,
        tracer=tracer,
    )


def _waker(
    relay: Relay,
    worker: Worker,
    publisher: Publisher | None,
    announcer: Announcer,
) -> Callable[[], None]:
    def wake() -> None:
        announcer.announce()
        relay.wake()
        worker.wake()
        if publisher is not None:
            publisher.wake()

    return wake


def _services(
    settings: Settings,
    *,
    store: MediaHealth,
    log: EventLog,
    media: Media,
    own_http: httpx.AsyncClient,
    identity: IdentityParts,
    resolver: Resolver,
    featured_artists: FeaturedArtists,
    pds: PacedPds,
    urls: RecordUrls,
    kinds: RecordKinds,
    publisher: Publisher | None,
    relay: Relay,
    announcer: Announcer,
    wake: Callable[[], None],
    metrics: Metrics,
    rate_limits: RateLimits | None,
) -> Services:
    database = log.database
    threads = Threads("application", MAX_APPLICATION_THREADS)
    waits = MirrorWaits(database, relay, announcer)
    event_poller = EventPoller(log, threads, identity.credentials)
    waits.on_settled = event_poller.wake
    return Services(
        database=database,
        log=log,
        threads=threads,
        media=media,
        media_threads=media_threads(),
        health_threads=Threads("health", MAX_HEALTH_THREADS, max_wait_seconds=MAX_HEALTH_WAIT_SECONDS),
        staging=staging_folder(settings),
        accounts=identity.accounts,
        credentials=identity.credentials,
        access=identity.access,
        resolver=resolver,
        featured_artists=featured_artists,
        disconnect=identity.sessions.disconnect,
        pds=pds,
        record_reads=RecordReads(pds),
        verifier=Verifier(database, RepoReads(pds), max_wait_seconds=MAX_VERIFY_WAIT_SECONDS),
        waits=waits,
        event_poller=event_poller,
        urls=urls,
        kinds=kinds,
        base_url=settings.base_url,
        collection=settings.collection,
        old_collection=settings.old_collection,
        max_upload_bytes=settings.max_upload_bytes,
        sweep_grace=timedelta(days=settings.sweep_grace_days),
        scan_interval=timedelta(minutes=settings.scan_minutes),
        follows_firehose=settings.firehose,
        jobs=lambda connection: runs(connection, database.now(connection)),
        schema=newest,
        not_ready_because=lambda: why_not_ready(log, store),
        media_away_because=store.away,
        disk_full_because=store.full,
        silent_because=lambda: why_silent(log),
        wake=wake,
        resolved=metrics.resolved,
        metrics=metrics.text if settings.is_loopback else None,
        publisher=publisher,
        sign_in=identity.app_password if settings.app_password_login else None,
        oauth=identity.oauth,
        supporters=HttpSupporters(settings.supporters_url, own_http) if settings.supporters_url else None,
        rate_limits=rate_limits,
        cors_origins=settings.cors_origins,
    )


def media_threads() -> MediaThreads:
    """Make a pool for each kind of work on media."""
    patience = intake.MAX_INTAKE_WAIT_SECONDS
    return MediaThreads(
        reads=Threads(
            "media-reads", reads.MAX_CONCURRENT_READS, max_wait_seconds=reads.MAX_READ_WAIT_SECONDS
        ),
        writes=Threads("media-writes", intake.MAX_CONCURRENT_FILES, max_wait_seconds=patience),
        public_copies=Threads("media-public", intake.MAX_CONCURRENT_COPIES, max_wait_seconds=patience),
        images=Threads("images", intake.MAX_CONCURRENT_IMAGES, max_wait_seconds=patience),
        staging=Threads("staging", intake.MAX_CONCURRENT_FILES, max_wait_seconds=patience),
    )
