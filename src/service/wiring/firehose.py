"""Wires the firehose follower."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from eventstore.database import Database
from outbox.mirror.hosts import Hosts
from service.config.settings import Settings
from service.observability.metrics import Metrics
from service.wiring.adapters import IdentityAddresses
from service.wiring.identity import pds_address_policy

if TYPE_CHECKING:
    from outbox.firehose.follower import Follower


def firehose_follower(
    settings: Settings,
    database: Database,
    hosts: Hosts,
    *,
    owner: str,
    wake: Callable[[], None],
    metrics: Metrics,
) -> "Follower | None":
    """Build the follower; None unless FIREHOSE is on."""
    if not settings.firehose:
        return None
    # They load WebSockets, which a process without a firehose does not need.
    from outbox.firehose.follower import Follower  # noqa: PLC0415
    from outbox.firehose.subscription import StreamReports  # noqa: PLC0415

    addresses = IdentityAddresses(pds_address_policy(settings))
    follower = Follower(database, hosts, addresses, owner=owner, reports=StreamReports(wake, metrics.heard))
    metrics.watch_streams(lambda: follower.statuses)
    return follower
