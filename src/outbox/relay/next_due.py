"""How long a relay that found nothing to do may sleep."""

from typing import Final

from sqlalchemy import func, select

from eventstore.database import Database
from outbox.mirror.lanes import host_open_at, lane_backfill_at, lane_columns, lane_due_at, latest_of
from outbox.mirror.observe_only import is_observed
from outbox.mirror.tables import HAS_WORK, IS_OPEN_JOB, NEVER, blob_job, mirror_lane, pds_host
from outbox.mirror.targets import READY


def seconds_until_due(database: Database) -> float:
    """Return the time until a lane, an upload or a look at an account may be claimed; none or less where one may, but others are at it."""
    with database.read_committed() as connection:
        times = [
            *connection.execute(_LANES).one(),
            connection.scalar(_UPLOADS),
            connection.scalar(_PROBES),
        ]
        earliest = min((time for time in times if time is not None), default=NEVER)
        return (earliest - database.now(connection)).total_seconds()


# Built once (CONTRIBUTING.md).

_AT_WORK: Final = (lane_columns.state == READY, ~lane_columns.paused, ~pds_host.c.paused, ~is_observed())
_OF_HOSTS: Final = mirror_lane.join(pds_host, pds_host.c.host == lane_columns.host)
_FREE_AT: Final = latest_of(lane_columns.lease_until, host_open_at())
_LANES: Final = (
    select(
        func.min(latest_of(lane_due_at(), _FREE_AT)),
        func.min(latest_of(lane_backfill_at(), _FREE_AT)),
    )
    .select_from(_OF_HOSTS)
    .where(HAS_WORK, *_AT_WORK)
)
_UPLOADS: Final = (
    select(
        func.min(
            latest_of(blob_job.c.not_before, blob_job.c.lease_until, host_open_at(), pds_host.c.blobs_after)
        )
    )
    .select_from(_OF_HOSTS.join(blob_job, blob_job.c.did == lane_columns.did))
    .where(*_AT_WORK, IS_OPEN_JOB)
)
_PROBES: Final = (
    select(func.min(latest_of(lane_columns.probe_at, lane_columns.lease_until)))
    .select_from(_OF_HOSTS)
    .where(~lane_columns.paused, ~pds_host.c.paused, lane_columns.probe_at < NEVER)
)
