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
from api.pipeline.pds_preflight import MAX_CHECKS_OF_AN_ACCOUNT
from api.services import MediaThreads, Services
from application.event_poller import EventPoller
from eventstore.coordination.commit_signals import Announcer, Listener
from eventstore.coordination.process_names import process_name
from eventstore.coordination.threads import Threads
from eventstore.coordination.turns import Turns
from eventstore.database import Database
from eventstore.event_log import EventLog
from eventstore.jobs.periodic import runs
from eventstore.jobs.worker import Worker
from identity.resolution.address_policy import MAX_CONNECTIONS
from identity.resolution.featured_artists import FeaturedArtists, turns_of_lookups
from identity.sessions.pds_sessions import PdsSessions
from outbox.blobs.worker import BlobWorker
from outbox.mirror.hosts import Hosts
from outbox.mirror.namespace_moves import Namespaces
from outbox.mirror.paced_pds import PacedPds
from outbox.pds.client import Pds
from outbox.probes.worker import Probes
from outbox.relay.delivery import Delivery
from outbox.relay.relay import Relay, RelayLimits
from outbox.repo.reads import RepoReads
from outbox.repo.record_reads import RecordReads
from outbox.tracing import NO_TRACING
from outbox.views.waits import MirrorWaits
from replay.adoption.adopt import Adoption
from replay.reconcile.verify import Verifier
from service.config.settings import Settings
from service.observability.media_health import MediaHealth
from service.observability.metrics import Metrics
from service.observability.readiness import why_not_ready, why_silent
from service.observability.subscribers import Woken
from service.schema.migrate import newest
from service.wiring.adapters import (
    HttpSupporters,
    IdentityAddresses,
    IdentityDirectory,
    IdentitySessions,
    StorageAudio,
)
from service.wiring.identity import (
    guarded_client,
    identity_parts,
    pds_address_policy,
    pds_http_client,
    resolver_of,
)
from service.wiring.jobs import JobParts
from service.wiring.log import media_store, open_log, record_kinds, record_urls, staging_folder
from storage.media import Media
from storage.public.publisher import Publisher
from storage.store import public_copies

if TYPE_CHECKING:
    from outbox.firehose.follower import Follower
    from service.observability.otel import Tracer

MAX_APPLICATION_THREADS: Final = 8
MAX_SIGN_IN_CONNECTIONS_OF_A_HOST: Final = 8
MAX_REQUEST_CONNECTIONS_OF_A_HOST: Final = 20
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
    adoptions: Adoption
    publisher: Publisher | None
    """None where the store has no public copies."""
    metrics: Metrics
    announcer: Announcer
    woken: Woken
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
    return _Builder(settings, inherited or Inherited(), tracer).container()


class _Builder:
    """What several parts share; each method builds one of them."""

    def __init__(self, settings: Settings, inherited: Inherited, tracer: "Tracer | None") -> None:
        self._settings, self._inherited, self._tracer = settings, inherited, tracer
        self._log = open_log(settings)
        self._database = self._log.database
        self._media = Media(self._database, media_store(settings))
        self._store = MediaHealth(self._media, settings.media, settings.folders)
        connections = MAX_CONNECTIONS + 2 * settings.lanes  # a lane delivers and refreshes
        self._relay_http = pds_http_client(settings, connections)
        self._sign_in_http = pds_http_client(settings, of_a_host=MAX_SIGN_IN_CONNECTIONS_OF_A_HOST)
        self._requests_http = pds_http_client(settings, of_a_host=MAX_REQUEST_CONNECTIONS_OF_A_HOST)
        self._own_http = guarded_client(settings.supporters_url)
        self._metrics, self._listener = Metrics(), Listener(self._database)
        self._identity = identity_parts(
            settings, self._log, self._relay_http, self._sign_in_http, on_refresh=self._metrics.refreshed
        )
        self._sessions, self._hosts = IdentitySessions(self._identity.sessions), Hosts(self._database)
        self._pds = PacedPds(self._sessions, self._requests_http, self._hosts)
        self._resolver = resolver_of(settings, self._requests_http)
        self._owner = process_name()
        self._lease = timedelta(seconds=settings.lease_seconds)
        copies = public_copies(self._media.store)
        self._publisher = (
            Publisher(self._media, copies, owner=self._owner, lease=self._lease)
            if copies is not None
            else None
        )
        self._urls = record_urls(settings, self._media.store)
        self._kinds = record_kinds(self._urls)
        self._announcer = Announcer(self._database)

    def container(self) -> Container:
        clients = (self._relay_http, self._sign_in_http, self._requests_http, self._own_http)
        self._metrics.watch(self._log, self._listener)
        self._metrics.watch_disks(self._store.free)
        if self._tracer is not None:
            self._tracer.watch(self._database.engine, clients)
        relay = self._relay()
        parts = self._job_parts(relay)
        adoptions = parts.adoptions()
        worker = parts.worker(adoptions)
        woken = Woken(relay, worker, self._announcer)
        services = self._services(relay, woken.after_commit())
        pools = (services.threads, services.health_threads, *vars(services.media_threads).values())
        self._metrics.pools.watch(self._database, pools)
        return Container(
            settings=self._settings,
            database=self._database,
            log=self._log,
            media=self._media,
            services=services,
            hosts=self._hosts,
            relay=relay,
            worker=worker,
            adoptions=adoptions,
            publisher=self._publisher,
            metrics=self._metrics,
            announcer=self._announcer,
            woken=woken,
            listener=self._listener,
            sessions=self._identity.sessions,
            clients=clients,
            follower=self._follower(services.wake) if self._settings.firehose else None,
            metrics_listener=self._inherited.metrics,
            tracer=self._tracer,
        )

    def _relay(self) -> Relay:
        """Build what delivers records, uploads audio and probes accounts."""
        settings, log, hosts, metrics = self._settings, self._log, self._hosts, self._metrics
        owner, lease = self._owner, self._lease
        pds, paced = Pds(self._sessions, self._relay_http), PacedPds(self._sessions, self._relay_http, hosts)
        namespaces = Namespaces(settings.old_collection, settings.collection)
        audio, directory = (
            StorageAudio(self._media),
            IdentityDirectory(resolver_of(settings, self._relay_http)),
        )
        return Relay(
            log,
            Delivery(log.database, hosts, pds, namespaces=namespaces, metrics=metrics),
            BlobWorker(log, hosts, paced, audio, owner=owner, lease=lease, metrics=metrics),
            Probes(log.database, paced, directory, owner=owner, lease=lease, metrics=metrics),
            self._kinds,
            hosts=hosts,
            owner=owner,
            limits=RelayLimits(settings.lanes, lease),
            metrics=metrics,
            tracing=self._tracer or NO_TRACING,
        )

    def _job_parts(self, relay: Relay) -> JobParts:
        return JobParts(
            settings=self._settings,
            log=self._log,
            media=self._media,
            publisher=self._publisher,
            pds=self._pds,
            hosts=self._hosts,
            http=self._requests_http,
            resolver=self._resolver,
            urls=self._urls,
            kinds=self._kinds,
            relay=relay,
            disconnect=self._identity.sessions.disconnect,
            owner=self._owner,
        )

    def _follower(self, wake: Callable[[], None]) -> "Follower":
        # They load WebSockets, which a process without a firehose does not need.
        from outbox.firehose.follower import Follower  # noqa: PLC0415
        from outbox.firehose.subscription import StreamReports  # noqa: PLC0415

        addresses = IdentityAddresses(pds_address_policy(self._settings))
        reports = StreamReports(wake, self._metrics.heard)
        follower = Follower(self._database, self._hosts, addresses, owner=self._owner, reports=reports)
        self._metrics.watch_streams(lambda: follower.statuses)
        return follower

    def _services(self, relay: Relay, wake: Callable[[], None]) -> Services:
        settings, log, database = self._settings, self._log, self._database
        threads = Threads("application", MAX_APPLICATION_THREADS)
        waits = MirrorWaits(database, relay, self._announcer)
        event_poller = EventPoller(log, threads, self._identity.credentials)
        waits.on_settled = event_poller.wake
        return Services(
            database=database,
            log=log,
            threads=threads,
            media=self._media,
            media_threads=media_threads(),
            health_threads=Threads("health", MAX_HEALTH_THREADS, max_wait_seconds=MAX_HEALTH_WAIT_SECONDS),
            staging=staging_folder(settings),
            accounts=self._identity.accounts,
            credentials=self._identity.credentials,
            access=self._identity.access,
            resolver=self._resolver,
            featured_artists=FeaturedArtists(resolver_of(settings, self._requests_http, turns_of_lookups())),
            disconnect=self._identity.sessions.disconnect,
            pds=self._pds,
            pds_checks=Turns(MAX_CHECKS_OF_AN_ACCOUNT),
            record_reads=RecordReads(self._pds),
            verifier=Verifier(database, RepoReads(self._pds), max_wait_seconds=MAX_VERIFY_WAIT_SECONDS),
            waits=waits,
            event_poller=event_poller,
            urls=self._urls,
            kinds=self._kinds,
            base_url=settings.base_url,
            collection=settings.collection,
            old_collection=settings.old_collection,
            max_upload_bytes=settings.max_upload_bytes,
            sweep_grace=timedelta(days=settings.sweep_grace_days),
            scan_interval=timedelta(minutes=settings.scan_minutes),
            follows_firehose=settings.firehose,
            jobs=lambda connection: runs(connection, database.now(connection)),
            schema=newest,
            not_ready_because=lambda: why_not_ready(log, self._store),
            media_away_because=self._store.away,
            disk_full_because=self._store.full,
            silent_because=lambda: why_silent(log),
            wake=wake,
            resolved=self._metrics.resolved,
            metrics=self._metrics.text if settings.is_loopback else None,
            publisher=self._publisher,
            sign_in=self._identity.app_password if settings.app_password_login else None,
            oauth=self._identity.oauth,
            supporters=HttpSupporters(settings.supporters_url, self._own_http)
            if settings.supporters_url
            else None,
            rate_limits=RateLimits(self._inherited.rate_limits) if settings.rate_limits else None,
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
