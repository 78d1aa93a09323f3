"""Scans every repo at intervals for changes that other clients made to our records; no login is needed.

A scan only marks records that differ; the relay reads them again under its lease and decides.
"""

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

import sqlalchemy as sa

from eventstore.coordination.commit_signals import Wake, announce
from eventstore.sql.database import MAX_COUNTED, Database
from eventstore.sql.schema import UtcDateTime
from eventstore.streams.buckets import bucket_of
from eventstore.untrusted import clean
from outbox.mirror.hosts import LEFT_ALONE, is_open_for_backfill
from outbox.mirror.parking import request_probe
from outbox.mirror.requeue import reverify
from outbox.mirror.states import LaneState
from outbox.mirror.tables import PAST, lane, mirror_lane, pds_host, repo_scan, target
from outbox.mirror.targets import upsert
from outbox.pds.client import REPO_NOT_FOUND, RemoteUnknownError
from outbox.pds.verdict import Kind, Verdict
from outbox.repo.reads import RepoReads
from outbox.threads import in_thread
from replay.reconcile.drift import Drift
from replay.reconcile.verify import Repo, Verifier

logger = logging.getLogger("mastertape.replay")

MAX_CONCURRENT_HOSTS: Final = 32
"""The repos of a host are scanned one by one, so that a host that hangs delays its own accounts alone."""
HOST_TURN_SECONDS: Final = 30.0
"""No repo of a host begins later in its turn; the next turn comes after those of all other hosts."""
REPOS_PER_PAGE: Final = 200


@dataclass
class Scanned:
    """Counts of a scan so far: repos by outcome (`unchanged`, `compared`, `unread`), and new drifts by kind."""

    repos: Counter[str] = field(default_factory=Counter)
    drifts: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Scan:
    """Scans the repos whose last scan is older than `every`; a scan that a crash cut off is due again."""

    database: Database
    reads: RepoReads
    every: timedelta
    on_drift: Wake = lambda *_: None
    scanned: Scanned = field(default_factory=Scanned)

    async def run(self) -> Scanned:
        """Scan all repos that are due, the hosts in turns. Repos of a host that is paused or away wait for the next scan."""
        begun_at, due = await in_thread(self._due_hosts)
        waiting = deque(due)

        async def scan_waiting() -> None:
            while waiting:
                host = waiting.popleft()
                if await self._scan_host(host, begun_at - self.every):
                    waiting.append(host)

        await asyncio.gather(*(scan_waiting() for _ in range(min(MAX_CONCURRENT_HOSTS, len(due)))))
        return self.scanned

    async def _scan_host(self, host: str, before: datetime) -> bool:
        """Scan due repos of the host for one turn; returns whether the host is to have another."""
        is_available = True
        now = asyncio.get_running_loop().time
        ends_at = now() + HOST_TURN_SECONDS
        while is_available and now() < ends_at:
            repos = await in_thread(self._due_repos, host, before)
            if not repos:
                return False
            unchanged: list[str] = []
            for repo, last_rev in repos:
                is_available = await self._scan_repo(repo, last_rev, unchanged)
                if not is_available or now() >= ends_at:
                    break
            if unchanged:
                self.scanned.repos["unchanged"] += len(unchanged)
                await in_thread(self._record_unchanged, unchanged)
        return is_available

    async def _scan_repo(self, repo: Repo, last_rev: str | None, unchanged: list[str]) -> bool:
        """Compare the repo unless it is `unchanged`; return whether the host's other repos can be scanned now."""
        # Only the revision of a scan proves anything: before our own last write, another client may have written.
        try:
            rev = await self.reads.revision(repo.host, repo.did)
            if rev == last_rev:
                unchanged.append(repo.did)
                return True
            found = await Verifier(self.database, self.reads).compare(repo)
        except RemoteUnknownError as error:
            verdict = error.verdict
            if verdict is LEFT_ALONE or verdict.kind is Kind.PACED:
                return False
            self.scanned.repos["unread"] += 1
            await in_thread(self._record_unread, repo, verdict)
            return not verdict.concerns_host
        new = [drift for drift in found.drifts if not drift.is_known]
        await in_thread(self._record_compared, repo, rev, new, len(found.unread))
        self.scanned.repos["compared"] += 1
        kinds = Counter(drift.kind.value for drift in new)
        self.scanned.drifts.update(kinds)
        if new:
            facts = {"did": repo.did, "kinds": dict(kinds), "first": clean(new[0].key.uri)}
            logger.warning("drift_found", extra=facts)
            self.on_drift(bucket_of(repo.did))
        return True

    def _due_hosts(self) -> tuple[datetime, Sequence[str]]:
        with self.database.read() as connection:
            now = self.database.now(connection)
            due = {"now": now, "before": now - self.every}
            return now, connection.scalars(_DUE_HOSTS, due).all()

    def _due_repos(self, host: str, before: datetime) -> list[tuple[Repo, str | None]]:
        with self.database.read() as connection:
            rows = connection.execute(_DUE_REPOS, {"host": host, "before": before})
            # while the newest revision is older than an acknowledged one, the repo is compared again
            return [
                (Repo(row.did, row.host), row.rev if (row.acked_rev or "") <= (row.rev or "") else None)
                for row in rows
            ]

    def _record_compared(self, repo: Repo, rev: str, drifts: Sequence[Drift], unread: int) -> None:
        """Mark what differs and record the revision, in one transaction, so that a crash loses no mark.

        A repo with unread records is compared again the next time, whatever its revision is.
        """
        problem = f"{unread} records could not be read" if unread else None
        with self.database.write() as connection:
            now = self.database.now(connection)
            suspects = [each.subject for each in drifts if each.subject is not None]
            reverify(connection, suspects, now)
            known = None if unread else rev
            row = {"did": repo.did, "rev": known, "scanned_at": now, "found": len(drifts), "problem": problem}
            upsert(connection, repo_scan, row, tuple(row))
            if suspects:
                announce(connection, repo.did)

    def _record_unchanged(self, dids: Sequence[str]) -> None:
        with self.database.write() as connection:
            # without a revision: the account was marked for a scan meanwhile
            these = (repo_scan.c.did.in_(dids), repo_scan.c.rev.is_not(None))
            now = self.database.now(connection)
            connection.execute(sa.update(repo_scan).where(*these).values(scanned_at=now, problem=None))

    def _record_unread(self, repo: Repo, verdict: Verdict) -> None:
        """Record the attempt, so that other repos go first the next time; search for an account that has moved or is inactive."""
        with self.database.write() as connection:
            now = self.database.now(connection)
            if verdict.kind is Kind.INACTIVE or verdict.error == REPO_NOT_FOUND:
                request_probe(connection, repo.did, now)
            problem = f"{verdict.error}: {verdict.message}"
            row = {"did": repo.did, "scanned_at": now, "problem": problem}
            upsert(connection, repo_scan, row, tuple(row))


# Built once (CONTRIBUTING.md).

_SCANNED_AT: Final = sa.func.coalesce(repo_scan.c.scanned_at, PAST)
IS_SCANNED: Final = sa.and_(
    # hosts do not show the repos of accounts in other states
    lane.state.in_((LaneState.READY, LaneState.AUTH_REQUIRED)),
    ~lane.paused,
    lane.host != "",
)
"""Whether an account's repo is scanned at all, by its lane."""
HAS_RECORDS: Final = sa.select(target.did).where(target.did == lane.did, target.acked_gen > 0).exists()


def _is_due(scanned_at: sa.ColumnElement[datetime]) -> sa.ColumnElement[bool]:
    return sa.or_(scanned_at.is_(None), scanned_at <= sa.bindparam("before", type_=UtcDateTime))


_IS_DUE: Final = sa.and_(IS_SCANNED, _is_due(repo_scan.c.scanned_at), HAS_RECORDS)
OF_SCANS: Final = mirror_lane.outerjoin(repo_scan, repo_scan.c.did == lane.did)
_SCANS: Final = (
    sa.select(lane.host, _SCANNED_AT.label("scanned_at"), sa.case((_IS_DUE, 1)).label("due"))
    .select_from(OF_SCANS.join(pds_host, pds_host.c.host == lane.host))
    .where(is_open_for_backfill(sa.bindparam("now", type_=UtcDateTime)))
    .subquery()
)
_DUE_HOSTS: Final = (
    sa.select(_SCANS.c.host)
    .group_by(_SCANS.c.host)
    .having(sa.func.count(_SCANS.c.due) > 0)
    .order_by(sa.func.max(_SCANS.c.scanned_at), _SCANS.c.host)
)
"""The host whose latest scan is the oldest goes first, however many accounts of another are due."""
_DUE_REPOS: Final = (
    sa.select(lane.did, lane.host, lane.acked_rev, repo_scan.c.rev)
    .select_from(OF_SCANS)
    .where(_IS_DUE, lane.host == sa.bindparam("host"))
    .order_by(_SCANNED_AT, lane.did)
    .limit(REPOS_PER_PAGE)
)


def scan_progress(connection: sa.Connection, now: datetime, every: timedelta) -> sa.RowMapping:
    """Return how many repos are scanned at all, how many are due or could not be read, the last scan, and the oldest of the last ones.

    MAX_COUNTED repos, the first by their DIDs, stand for as many or more; all else is of those that were counted. A repo that
    was never scanned is due, and has no time.
    """
    bounds = {"before": now - every, "most": MAX_COUNTED}
    return connection.execute(_PROGRESS, bounds).mappings().one()


def unread_repos(connection: sa.Connection, *, limit: int) -> Sequence[sa.RowMapping]:
    """Return the repos that the scan could not read the last time: DID, host, when and why."""
    return connection.execute(_UNREAD, {"room": limit, "most": MAX_COUNTED}).mappings().all()


_REPOS: Final = (
    sa.select(lane.did, lane.host, repo_scan.c.scanned_at, repo_scan.c.problem)
    .select_from(OF_SCANS)
    .where(IS_SCANNED, HAS_RECORDS)
    .order_by(lane.did)
    .limit(sa.bindparam("most"))
    .subquery()
)
_LAST_AT: Final = sa.case((_REPOS.c.scanned_at > PAST, _REPOS.c.scanned_at))
_WAS_UNREAD: Final = _REPOS.c.problem.is_not(None)
_PROGRESS: Final = sa.select(
    sa.func.count().label("repos"),
    sa.func.count(sa.case((_is_due(_REPOS.c.scanned_at), 1))).label("due"),
    sa.func.count(sa.case((_WAS_UNREAD, 1))).label("unread"),
    sa.func.max(_LAST_AT).label("last_at"),
    sa.func.min(_LAST_AT).label("oldest_at"),
).select_from(_REPOS)
_UNREAD: Final = (
    sa.select(_REPOS)
    .where(_WAS_UNREAD)
    .order_by(_REPOS.c.scanned_at.desc(), _REPOS.c.did)
    .limit(sa.bindparam("room"))
)
