"""Scan: every so often each repo is looked through for what others did to our records, without anybody's login.

A scan only observes: what differs is marked, and the relay reads it again under its lease and decides. A repo that is
still at the revision of its last scan is asked nothing more. That it is at the revision of our own last write proves
less: somebody may have written between that scan and our write.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, and_, bindparam, func, or_, select, update

from eventstore.commit_signals import announce
from eventstore.database import Database
from eventstore.schema import UtcDateTime
from outbox.mirror.hosts import is_open_for_backfill
from outbox.mirror.paced_pds import LEFT_ALONE
from outbox.mirror.parking import request_probe
from outbox.mirror.requeue import reverify
from outbox.mirror.states import LaneState
from outbox.mirror.tables import PAST, mirror_lane, mirror_target, pds_host, repo_scan
from outbox.mirror.targets import upsert
from outbox.pds.client import REPO_NOT_FOUND, RemoteUnknownError
from outbox.pds.verdict import Kind, Verdict
from outbox.repo.reads import PacedReads
from outbox.threads import in_thread
from replay.reconcile.drift import Drift, DriftKind
from replay.reconcile.verify import Repo, compared

logger = logging.getLogger("mastertape.replay")

HOSTS_AT_ONCE: Final = 32
"""Of each one repo after the other, so that a host that hangs holds up its own accounts alone."""
REPOS_A_PAGE: Final = 200
LOOKED_AT: Final = frozenset(
    {DriftKind.MISSING, DriftKind.FOREIGN_EDIT, DriftKind.STALE, DriftKind.NEWER, DriftKind.UNDELETED}
)
"""What a look of the relay's may put right, or put before the record's owner."""


@dataclass
class Scanned:
    """What a scan came to so far: how many repos were unchanged, compared and unread, and the drift that is new."""

    repos: Counter[str] = field(default_factory=Counter)
    drifts: Counter[str] = field(default_factory=Counter)


class Scan:
    """Looks through the repos whose last scan is older than `every`; what a crash cut off is due again."""

    def __init__(
        self,
        database: Database,
        reads: PacedReads,
        *,
        every: timedelta,
        found: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._reads = reads
        self._every = every
        self._found = found
        self.scanned: Final = Scanned()

    async def run(self) -> Scanned:
        """Look through all that are due; a host that must be left alone, or is away, waits for the next time."""
        room = asyncio.Semaphore(HOSTS_AT_ONCE)
        begun_at, hosts = await in_thread(self._due_hosts)

        async def one(host: str) -> None:
            async with room:
                await self._look_through_host(host, begun_at - self._every)

        await asyncio.gather(*(one(host) for host in hosts))
        return self.scanned

    async def _look_through_host(self, host: str, before: datetime) -> None:
        is_open = True
        while is_open and (repos := await in_thread(self._due_repos, host, before)):
            unchanged: list[str] = []
            for repo, known in repos:
                if not (is_open := await self._look_through(repo, known, unchanged)):
                    break
            if unchanged:
                self.scanned.repos["unchanged"] += len(unchanged)
                await in_thread(self._note_unchanged, unchanged)

    async def _look_through(self, repo: Repo, known: str | None, unchanged: list[str]) -> bool:
        """Look through one repo, and say whether its host may be asked on."""
        try:
            rev = await self._reads.revision(repo.host, repo.did)
            if rev == known:
                unchanged.append(repo.did)
            else:
                found = await compared(self._database, self._reads, repo, with_blobs=False)
                await self._tell(repo, rev, [drift for drift in found.drifts if not drift.is_known])
        except RemoteUnknownError as error:
            if error.verdict is LEFT_ALONE or error.verdict.kind is Kind.PACED:
                return False
            self.scanned.repos["unread"] += 1
            await in_thread(self._note_unread, repo, error.verdict)
            return not error.verdict.concerns_host
        return True

    async def _tell(self, repo: Repo, rev: str, drifts: Sequence[Drift]) -> None:
        await in_thread(self._note, repo, rev, drifts)
        self.scanned.repos["compared"] += 1
        for drift in drifts:
            self.scanned.drifts[drift.kind.value] += 1
            logger.warning("drift_found", extra={"uri": drift.key.uri, "kind": drift.kind.value})
        if drifts:
            self._found()

    def _due_hosts(self) -> tuple[datetime, Sequence[str]]:
        with self._database.read() as connection:
            now = self._database.now(connection)
            due = {"now": now, "before": now - self._every}
            return now, connection.scalars(_DUE_HOSTS, due).all()

    def _due_repos(self, host: str, before: datetime) -> list[tuple[Repo, str | None]]:
        with self._database.read() as connection:
            rows = connection.execute(_DUE_REPOS, {"host": host, "before": before})
            return [(Repo(row.did, row.host), row.rev) for row in rows]

    def _note(self, repo: Repo, rev: str, drifts: Sequence[Drift]) -> None:
        """Mark what differs, and how far the repo was looked through: one unit, so that a crash loses no doubt."""
        with self._database.write() as connection:
            now = self._database.now(connection)
            suspects = [each.track_id for each in drifts if each.kind in LOOKED_AT]
            reverify(connection, [track_id for track_id in suspects if track_id is not None], now)
            row = {"did": repo.did, "rev": rev, "scanned_at": now, "found": len(drifts), "problem": None}
            upsert(connection, repo_scan, row, tuple(row))
            if suspects:
                announce(connection)

    def _note_unchanged(self, dids: Sequence[str]) -> None:
        with self._database.write() as connection:
            these = (repo_scan.c.did.in_(dids), repo_scan.c.rev.is_not(None))  # else it is doubted meanwhile
            now = self._database.now(connection)
            connection.execute(update(repo_scan).where(*these).values(scanned_at=now, problem=None))

    def _note_unread(self, repo: Repo, verdict: Verdict) -> None:
        """Let the others go first the next time; an account that its host does not have, or not at work, is looked for."""
        with self._database.write() as connection:
            now = self._database.now(connection)
            if verdict.kind is Kind.INACTIVE or verdict.error == REPO_NOT_FOUND:
                request_probe(connection, repo.did, now)
            problem = f"{verdict.error}: {verdict.message}"
            row = {"did": repo.did, "scanned_at": now, "problem": problem}
            upsert(connection, repo_scan, row, tuple(row))


# Built once (CONTRIBUTING.md).

lane: Final = mirror_lane.c
_SCANNED_AT: Final = func.coalesce(repo_scan.c.scanned_at, PAST)
IS_SCANNED: Final = and_(
    lane.state.in_((LaneState.READY, LaneState.AUTH_REQUIRED)),  # of the others their hosts tell nothing
    ~lane.paused,
    lane.host != "",
)
"""Whether an account's repo is looked through at all; its lane."""
_IS_DUE: Final[ColumnElement[bool]] = and_(
    IS_SCANNED,
    or_(repo_scan.c.scanned_at.is_(None), repo_scan.c.scanned_at <= bindparam("before", type_=UtcDateTime)),
    select(mirror_target.c.did)
    .where(mirror_target.c.did == lane.did, mirror_target.c.acked_gen > 0)
    .exists(),
)
_OF_SCANS: Final = mirror_lane.outerjoin(repo_scan, repo_scan.c.did == lane.did)
_DUE_HOSTS: Final = (
    select(lane.host)
    .select_from(_OF_SCANS.join(pds_host, pds_host.c.host == lane.host))
    .where(_IS_DUE, is_open_for_backfill(bindparam("now", type_=UtcDateTime)))
    .distinct()
)
_DUE_REPOS: Final = (
    select(lane.did, lane.host, repo_scan.c.rev)
    .select_from(_OF_SCANS)
    .where(_IS_DUE, lane.host == bindparam("host"))
    .order_by(_SCANNED_AT, lane.did)
    .limit(REPOS_A_PAGE)
)
