"""How far the scan of all repos is."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, RowMapping, bindparam, case, func, select

from eventstore.schema import UtcDateTime
from outbox.mirror.tables import PAST, repo_scan
from replay.reconcile.scan import HAS_RECORDS, IS_SCANNED, OF_SCANS, is_scan_due, lane


@dataclass(frozen=True)
class ScanProgress:
    """How many repos are scanned at all, how many of them are due and how many could not be read the last time.

    `oldest_at` is the oldest of their last scans; a repo that was never scanned is due, and has none.
    """

    repos: int
    due: int
    unread: int
    last_at: datetime | None
    oldest_at: datetime | None


def scan_progress(connection: Connection, now: datetime, every: timedelta) -> ScanProgress:
    """Read the rows of all accounts once."""
    return ScanProgress(*connection.execute(_PROGRESS, {"before": now - every}).one())


def unread_repos(connection: Connection, *, limit: int) -> Sequence[RowMapping]:
    """Return the repos that the scan could not read the last time: DID, host, when and why."""
    return connection.execute(_UNREAD, {"room": limit}).mappings().all()


# Built once (CONTRIBUTING.md).

_SCANNED_AT: Final = case((repo_scan.c.scanned_at > PAST, repo_scan.c.scanned_at))
_WAS_UNREAD: Final = repo_scan.c.problem.is_not(None)
_PROGRESS: Final = (
    select(
        func.count().label("repos"),
        func.count(case((is_scan_due(bindparam("before", type_=UtcDateTime)), 1))).label("due"),
        func.count(case((_WAS_UNREAD, 1))).label("unread"),
        func.max(_SCANNED_AT).label("last_at"),
        func.min(_SCANNED_AT).label("oldest_at"),
    )
    .select_from(OF_SCANS)
    .where(IS_SCANNED, HAS_RECORDS)
)
_UNREAD: Final = (
    select(lane.did, lane.host, repo_scan.c.scanned_at, repo_scan.c.problem)
    .select_from(OF_SCANS)
    .where(IS_SCANNED, HAS_RECORDS, _WAS_UNREAD)
    .order_by(repo_scan.c.scanned_at.desc(), lane.did)
    .limit(bindparam("room"))
)
