"""How far the scan of all repos is: of MAX_COUNTED of them at most, the first by their DIDs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, RowMapping, bindparam, case, func, select

from eventstore.database import MAX_COUNTED
from eventstore.schema import UtcDateTime
from outbox.mirror.tables import PAST, repo_scan
from replay.reconcile.scan import HAS_RECORDS, IS_SCANNED, OF_SCANS, is_scan_due, lane


@dataclass(frozen=True)
class ScanProgress:
    """How many repos are scanned at all, how many of them are due and how many could not be read the last time.

    MAX_COUNTED repos stand for as many or more; all else is of those that were counted. `oldest_at` is the oldest of their last
    scans; a repo that was never scanned is due, and has none.
    """

    repos: int
    due: int
    unread: int
    last_at: datetime | None
    oldest_at: datetime | None


def scan_progress(connection: Connection, now: datetime, every: timedelta) -> ScanProgress:
    bounds = {"before": now - every, "most": MAX_COUNTED}
    return ScanProgress(*connection.execute(_PROGRESS, bounds).one())


def unread_repos(connection: Connection, *, limit: int) -> Sequence[RowMapping]:
    """Return the repos that the scan could not read the last time: DID, host, when and why."""
    return connection.execute(_UNREAD, {"room": limit, "most": MAX_COUNTED}).mappings().all()


# Built once (CONTRIBUTING.md).

_SCANNED: Final = (
    select(lane.did, lane.host, repo_scan.c.scanned_at, repo_scan.c.problem)
    .select_from(OF_SCANS)
    .where(IS_SCANNED, HAS_RECORDS)
    .order_by(lane.did)
    .limit(bindparam("most"))
    .subquery()
)
_SCANNED_AT: Final = case((_SCANNED.c.scanned_at > PAST, _SCANNED.c.scanned_at))
_WAS_UNREAD: Final = _SCANNED.c.problem.is_not(None)
_PROGRESS: Final = select(
    func.count().label("repos"),
    func.count(case((is_scan_due(_SCANNED.c.scanned_at, bindparam("before", type_=UtcDateTime)), 1))).label(
        "due"
    ),
    func.count(case((_WAS_UNREAD, 1))).label("unread"),
    func.max(_SCANNED_AT).label("last_at"),
    func.min(_SCANNED_AT).label("oldest_at"),
).select_from(_SCANNED)
_UNREAD: Final = (
    select(_SCANNED)
    .where(_WAS_UNREAD)
    .order_by(_SCANNED.c.scanned_at.desc(), _SCANNED.c.did)
    .limit(bindparam("room"))
)
