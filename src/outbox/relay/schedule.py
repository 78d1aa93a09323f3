"""Computes in one statement when the next lane, upload or probe may be claimed."""

from dataclasses import dataclass
from math import inf
from typing import Final

from sqlalchemy import and_, func, select

from eventstore.database import Database, with_now
from eventstore.jobs.table import job
from eventstore.prepared import Prepared
from outbox.mirror.due import host_open_at, lane_backfill_at, lane_columns, lane_due_at, latest_of
from outbox.mirror.observe_only import is_observed
from outbox.mirror.states import LaneState
from outbox.mirror.tables import (
    HAS_WORK,
    IS_OPEN_JOB,
    NEVER,
    PAST_LITERAL,
    UPLOAD,
    blob_job,
    mirror_lane,
    pds_host,
)


@dataclass(frozen=True)
class SecondsUntilDue:
    """The seconds until each kind may be claimed: 0 or less if it is due, although another relay may hold it."""

    lanes: float
    uploads: float
    probes: float

    @property
    def is_any_now(self) -> bool:
        """Whether anything is due; if it cannot be claimed, another relay holds it or its host is at its limit."""
        return min(self.lanes, self.uploads, self.probes) <= 0

    @property
    def later(self) -> float:
        """The seconds until anything else is due."""
        return min((each for each in (self.lanes, self.uploads, self.probes) if each > 0), default=inf)


def seconds_until_due(database: Database) -> SecondsUntilDue:
    """Compute the seconds until a lane, an upload or a probe may be claimed."""
    with database.read_committed() as connection:
        [found] = _DUE.start(connection, {}).all()
        now = database.now(connection, read=found.now)
    lanes = min(found.live or NEVER, found.backfill or NEVER)
    return SecondsUntilDue(
        *((time - now).total_seconds() for time in (lanes, found.uploads or NEVER, found.probes or NEVER))
    )


# Built once (CONTRIBUTING.md).

_AT_WORK: Final = (
    lane_columns.state == LaneState.READY,
    ~lane_columns.paused,
    ~pds_host.c.paused,
    ~is_observed(),
)
_OF_HOSTS: Final = mirror_lane.join(pds_host, pds_host.c.host == lane_columns.host)
_FREE_AT: Final = latest_of(lane_columns.lease_until, host_open_at())
_LANES: Final = (
    select(
        func.min(latest_of(lane_due_at(), _FREE_AT)).label("live"),
        func.min(latest_of(lane_backfill_at(), _FREE_AT)).label("backfill"),
    )
    .select_from(_OF_HOSTS)
    .where(HAS_WORK, *_AT_WORK)
    .subquery()
)
_UPLOADS: Final = (
    select(
        func.min(
            latest_of(
                blob_job.c.not_before,
                func.coalesce(latest_of(job.c.due, job.c.lease_until), PAST_LITERAL),
                host_open_at(),
                pds_host.c.blobs_after,
            )
        )
    )
    .select_from(
        _OF_HOSTS.join(blob_job, blob_job.c.did == lane_columns.did).outerjoin(
            job, and_(job.c.kind == UPLOAD, job.c.subject == blob_job.c.did)
        )
    )
    .where(*_AT_WORK, IS_OPEN_JOB)
    .scalar_subquery()
)
_PROBES: Final = (
    select(func.min(latest_of(lane_columns.probe_at, lane_columns.lease_until)))
    .select_from(_OF_HOSTS)
    .where(~lane_columns.paused, ~pds_host.c.paused, lane_columns.probe_at < NEVER)
    .scalar_subquery()
)
_DUE: Final = Prepared(
    lambda dialect: with_now(
        select(_LANES, _UPLOADS.label("uploads"), _PROBES.label("probes")), is_sqlite=dialect == "sqlite"
    )
)
