"""Wires the relay: what delivers records, uploads audio and probes accounts."""

from datetime import timedelta

from eventstore.event_log import EventLog
from identity.resolution.resolver import Resolver
from outbox.blobs.worker import BlobWorker
from outbox.metrics import RelayMetrics
from outbox.mirror.hosts import Hosts
from outbox.mirror.namespace_moves import Namespaces
from outbox.mirror.paced_pds import PacedPds
from outbox.pds.client import Pds
from outbox.probes.worker import Probes
from outbox.record.kind import RecordKinds
from outbox.relay.delivery import Delivery
from outbox.relay.relay import Relay, RelayLimits
from outbox.tracing import Tracing
from service.config.settings import Settings
from service.wiring.adapters import IdentityDirectory, StorageAudio
from storage.media import Media


def relay_of(
    settings: Settings,
    *,
    log: EventLog,
    hosts: Hosts,
    media: Media,
    pds: Pds,
    paced: PacedPds,
    resolver: Resolver,
    kinds: RecordKinds,
    owner: str,
    metrics: RelayMetrics,
    tracing: Tracing,
) -> Relay:
    """Build the relay with its workers; `pds` sends what it delivers, `paced` what uploads and probes ask."""
    lease = timedelta(seconds=settings.lease_seconds)
    namespaces = Namespaces(settings.old_collection, settings.collection)
    return Relay(
        log,
        Delivery(log.database, hosts, pds, namespaces=namespaces, metrics=metrics),
        BlobWorker(log, hosts, paced, StorageAudio(media), owner=owner, lease=lease, metrics=metrics),
        Probes(log.database, paced, IdentityDirectory(resolver), owner=owner, lease=lease, metrics=metrics),
        kinds,
        hosts=hosts,
        owner=owner,
        limits=RelayLimits(settings.lanes, lease),
        metrics=metrics,
        tracing=tracing,
    )
