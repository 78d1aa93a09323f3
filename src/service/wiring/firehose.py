"""The composition root's part that listens to PDSes."""

from collections.abc import Callable

from eventstore.database import Database
from outbox.firehose.follower import Follower
from outbox.firehose.subscription import StreamReports
from outbox.mirror.hosts import Hosts
from service.config.settings import Settings
from service.observability.metrics import Metrics
from service.wiring.adapters import AddressesOfIdentity
from service.wiring.identity import addresses_of_people


def follower_of(
    settings: Settings,
    database: Database,
    hosts: Hosts,
    *,
    owner: str,
    wake: Callable[[], None],
    metrics: Metrics,
) -> Follower | None:
    """Make it, if it is wanted."""
    if not settings.firehose:
        return None
    addresses = AddressesOfIdentity(addresses_of_people(settings))
    made = Follower(database, hosts, addresses, owner=owner, reports=StreamReports(wake, metrics.heard))
    metrics.watch_streams(lambda: made.statuses)
    return made
