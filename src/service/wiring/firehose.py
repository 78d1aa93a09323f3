"""Wires the firehose follower."""

from collections.abc import Callable

from eventstore.database import Database
from outbox.firehose.follower import Follower
from outbox.firehose.subscription import StreamReports
from outbox.mirror.hosts import Hosts
from service.config.settings import Settings
from service.observability.metrics import Metrics
from service.wiring.adapters import IdentityAddresses
from service.wiring.identity import pds_address_policy


def firehose_follower(
    settings: Settings,
    database: Database,
    hosts: Hosts,
    *,
    owner: str,
    wake: Callable[[], None],
    metrics: Metrics,
) -> Follower | None:
    """Build the follower; None unless FIREHOSE is on."""
    if not settings.firehose:
        return None
    addresses = IdentityAddresses(pds_address_policy(settings))
    follower = Follower(database, hosts, addresses, owner=owner, reports=StreamReports(wake, metrics.heard))
    metrics.watch_streams(lambda: follower.statuses)
    return follower
