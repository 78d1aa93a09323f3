"""The composition root: builds every part of a process from the settings. No part connects before its first use."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from socket import socket
from typing import TYPE_CHECKING, Final

from api.middleware.rate_limits import RateLimits
from api.pipeline import media_intake as intake
from api.pipeline import media_request as reads
from api.pipeline.pds import MAX_CHECKS_OF_AN_ACCOUNT
from api.services import MediaThreads, Services
from application.authorization import Supporters
from application.event_poller import EventPoller
from application.outsiders import OutsiderReactions
from eventstore.coordination.commit_signals import Announcer, Listener
from eventstore.coordination.process_names import process_name
from eventstore.coordination.threads import Threads, Turns
from eventstore.event_budget import EventBudget
from identity.resolution.address_policy import MAX_CONNECTIONS, AddressPolicy, public_client
from identity.resolution.resolver import FeaturedArtists, turns_of_lookups
from outbox.mirror.hosts import Hosts, PacedPds
from outbox.pds.client import Pds
from outbox.ports import Tracing
from outbox.relay.delivery import Delivery
from outbox.relay.read_backs import ReadBacks
from outbox.relay.relay import Relay, RelayLimits
from outbox.repo.reads import RecordReads, RepoReads
from outbox.views.waits import MirrorWaits
from replay.reconcile.verify import Verifier
from service.config.settings import Settings
from service.observability.metrics import Metrics
from service.observability.readiness import MediaHealth, why_not_ready, why_silent
from service.observability.subscribers import woken_by_commits
from service.schema.migrate import newest
from service.wiring.adapters import IdentityAddresses, IdentityDirectory
from service.wiring.identity import (
    IdentityParts,
    allows,
    pds_address_policy,
    pds_http_client,
    resolver_of,
)
from service.wiring.jobs import adoptions_of, worker_of
from service.wiring.log import media_store, open_log, record_kinds, record_urls, staging_folder
from service.wiring.supporters import Atprotofans, Attested, KnownSupporters
from storage.media import Media
from storage.parsers import Parsers
from storage.public.publisher import Publisher
from storage.stores.store import StoreThreads, public_copies

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


class Container:
    """The parts of one process. None is started yet, and none has connected."""

    def __init__(self, settings: Settings, inherited: Inherited, tracer: "Tracer | None") -> None:
        self.settings = settings
        self.tracer = tracer
        self.metrics_listener = inherited.metrics
        self.log = open_log(settings)
        self.database = self.log.database
        self.owner, self.lease = process_name(), timedelta(seconds=settings.lease_seconds)
        self.media = Media(self.database, media_store(settings))
        self.parsers = Parsers()
        copies = public_copies(self.media.store)
        self.publisher: Publisher | None = None
        """None where the store has no public copies."""
        if copies is not None:
            self.publisher = Publisher(self.media, copies, owner=self.owner, lease=self.lease)
        self.metrics, self.hosts = Metrics(), Hosts(self.database)
        self.announcer = Announcer(self.database)
        self.listener = Listener(self.database, own=self.announcer)

        connections = MAX_CONNECTIONS + 2 * settings.lanes  # a lane delivers and refreshes
        self.relay_http = pds_http_client(settings, connections)
        sign_in_http = pds_http_client(settings, of_a_host=MAX_SIGN_IN_CONNECTIONS_OF_A_HOST)
        self.http = pds_http_client(settings, of_a_host=MAX_REQUEST_CONNECTIONS_OF_A_HOST)
        """For requests to PDSes and public addresses, other than those of deliveries and sign-ins."""
        # one of its own: no account can name what only the service may reach as its PDS
        self._own_http = public_client(AddressPolicy([settings.atprotofans_url]))
        self._clients = (self.relay_http, sign_in_http, self.http, self._own_http)
        self.urls = record_urls(settings, self.media.store)
        self.kinds = record_kinds(settings, self.urls)
        self._identity = IdentityParts(
            settings,
            self.log,
            self.relay_http,
            sign_in_http,
            collections=self.kinds.collections,
            on_refresh=self.metrics.refreshed,
        )
        self.sessions, self.accounts = self._identity.sessions, self._identity.accounts
        self.resolver = resolver_of(settings, self.http)
        self.pds = PacedPds(self.sessions, self.http, self.hosts)

        self.relay = self._relay()
        self.adoptions = adoptions_of(self)
        self.worker = worker_of(self)
        self.wakes = {
            "announcer": self.announcer.announce,
            "relay": self.relay.wake,
            "jobs": self.worker.wake,
        }
        """What wakes each subscriber."""
        self.services = self._services(inherited)
        self.follower = self._follower() if settings.firehose else None

        self.metrics.watch(self.log, self.listener)
        if tracer is not None:
            tracer.watch(self.database.engine, self._clients)

    async def close(self) -> None:
        """Finish refreshes of sessions, which must not be cut off, and disconnect."""
        self.parsers.close()
        await self.sessions.finish()
        for client in self._clients:
            await client.aclose()
        await asyncio.to_thread(self.log.close)
        if self.tracer is not None:
            await asyncio.to_thread(self.tracer.close)

    def _relay(self) -> Relay:
        settings, log, metrics = self.settings, self.log, self.metrics
        pds = Pds(self.sessions, self.relay_http)
        patient = PacedPds(self.sessions, self.http, self.hosts, can_wait=True)
        read_backs = ReadBacks(self.database, patient, settings.verify_after_seconds)
        relay = Relay(
            log,
            Delivery(log, self.hosts, pds, metrics=metrics),
            self.kinds,
            owner=self.owner,
            limits=RelayLimits(settings.lanes, self.lease),
            tracing=self.tracer or Tracing(),
            read_backs=read_backs,
        )
        read_backs.wake = relay.wake
        return relay

    def _follower(self) -> "Follower":
        # They load WebSockets, which a process without a firehose does not need.
        from outbox.firehose.follower import Follower  # noqa: PLC0415
        from outbox.firehose.outsiders import Index  # noqa: PLC0415

        addresses = IdentityAddresses(pds_address_policy(self.settings))
        records = OutsiderReactions(self.database, self.kinds)
        return Follower(
            self.database,
            self.hosts,
            addresses,
            Index(records, self.pds, IdentityDirectory(self.resolver)),
            owner=self.owner,
            marked=self.services.wake,
            heard=self.metrics.heard,
        )

    def _services(self, inherited: Inherited) -> Services:
        settings, log, database, identity = self.settings, self.log, self.database, self._identity
        threads = Threads("application", MAX_APPLICATION_THREADS)
        waits = MirrorWaits(database, self.relay)
        event_poller = EventPoller(log, threads, identity.credentials)
        waits.on_settled = event_poller.wake
        store = MediaHealth(self.media, settings.media, settings.folders)
        self.metrics.watch_disks(lambda: store.health().free)
        return Services(
            database=database,
            log=log,
            threads=threads,
            media=self.media,
            media_threads=media_threads(),
            parsers=self.parsers,
            health_threads=Threads("health", MAX_HEALTH_THREADS, max_wait_seconds=MAX_HEALTH_WAIT_SECONDS),
            staging=staging_folder(settings),
            accounts=self.accounts,
            credentials=identity.credentials,
            access=identity.access,
            resolver=self.resolver,
            featured_artists=FeaturedArtists(resolver_of(settings, self.http, turns_of_lookups())),
            disconnect=self.sessions.disconnect,
            pds=self.pds,
            pds_checks=Turns(MAX_CHECKS_OF_AN_ACCOUNT),
            record_reads=RecordReads(self.pds),
            verifier=Verifier(
                database, RepoReads(self.pds), self.kinds, max_wait_seconds=MAX_VERIFY_WAIT_SECONDS
            ),
            waits=waits,
            event_poller=event_poller,
            urls=self.urls,
            kinds=self.kinds,
            base_url=settings.base_url,
            max_upload_bytes=settings.max_upload_bytes,
            event_budget=EventBudget(settings.event_bytes_per_day),
            sweep_grace=timedelta(days=settings.sweep_grace_days),
            scan_interval=timedelta(minutes=settings.scan_minutes),
            follows_firehose=settings.firehose,
            schema=newest,
            not_ready_because=lambda: why_not_ready(log, store),
            media_away_because=lambda: store.health().away,
            disk_full_because=lambda: store.health().full,
            silent_because=lambda: why_silent(log),
            wake=woken_by_commits(self.wakes),
            claim_with=self.relay.claim_with,
            metrics=self.metrics.text if settings.is_loopback else None,
            answered=self.metrics.answered,
            publisher=self.publisher,
            sign_in=identity.app_password if settings.app_password_login else None,
            oauth=identity.oauth,
            offers=partial(allows, settings.oauth_scope),
            supporters=self._supporters(),
            rate_limits=RateLimits(inherited.rate_limits) if settings.rate_limits else None,
            cors_origins=settings.cors_origins,
        )

    def _supporters(self) -> KnownSupporters | None:
        settings = self.settings
        services: dict[str, Supporters] = {
            "atprotofans": Atprotofans(settings.atprotofans_url, self._own_http),
            "attested": Attested(settings.attested_brokers, self.resolver, self.http),
        }
        asked = [services[name] for name in settings.supporters]
        return KnownSupporters(asked) if asked else None


def build(
    settings: Settings, inherited: Inherited | None = None, tracer: "Tracer | None" = None
) -> Container:
    return Container(settings, inherited or Inherited(), tracer)


def media_threads() -> MediaThreads:
    def threads(name: str, size: int, max_wait_seconds: float) -> StoreThreads:
        return StoreThreads(Threads(name, size, max_wait_seconds=max_wait_seconds))

    patience = intake.MAX_INTAKE_WAIT_SECONDS
    return MediaThreads(
        reads=threads("media-reads", reads.MAX_CONCURRENT_READS, reads.MAX_READ_WAIT_SECONDS),
        writes=threads("media-writes", intake.MAX_CONCURRENT_FILES, patience),
        public_copies=threads("media-public", intake.MAX_CONCURRENT_COPIES, patience),
        staging=threads("staging", intake.MAX_CONCURRENT_FILES, patience),
    )
