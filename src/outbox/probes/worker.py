"""Probes accounts: a directory says which host an account has, and that host whether it is active there.

No login is used and nothing is written to the PDS. A result is settled under the lane's epoch, and only if the lane's
state has not changed since the claim.
"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from sqlalchemy import select

from eventstore.database import Database
from eventstore.errors import LeaseLostError
from outbox.mirror.due import target_columns
from outbox.mirror.hosts import PacedPds
from outbox.mirror.tables import mirror_target
from outbox.pds.client import AccountStatus, RecordKey, RemoteUnknownError
from outbox.ports import NO_METRICS, Directory, DirectoryUnavailableError, RelayMetrics
from outbox.probes.jobs import AccountLocation, Probe, ProbeResult, claim_probes, settle_probe
from outbox.threads import in_thread

logger = logging.getLogger("mastertape.outbox")

MAX_CONCURRENT_PROBES: Final = 8
SAMPLE_RECORDS: Final = 5
UNKNOWN: Final = ProbeResult(AccountLocation.UNKNOWN)
LOCATIONS: Final = {
    AccountStatus.ACTIVE: AccountLocation.ACTIVE,
    AccountStatus.INACTIVE: AccountLocation.INACTIVE,
    AccountStatus.ABSENT: AccountLocation.MISSING,
    AccountStatus.UNKNOWN: AccountLocation.UNKNOWN,
}


class Probes:
    """Probes a few accounts at a time; holds no transaction, lock or thread while it waits."""

    def __init__(
        self,
        database: Database,
        pds: PacedPds,
        directory: Directory,
        *,
        owner: str,
        lease: timedelta = timedelta(seconds=60),
        metrics: RelayMetrics = NO_METRICS,
    ) -> None:
        self._metrics = metrics
        self._database = database
        self._pds = pds
        self._directory = directory
        self._owner = owner
        self._lease = lease
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> bool:
        """Whether a probe is in flight."""
        return bool(self._tasks)

    async def drain(self) -> None:
        """Wait for the probes in flight."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def stop(self, seconds: float) -> None:
        """Give the probes in flight so many seconds to end; cancelled ones are claimed again after their lease."""
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=seconds)
            for each in late:
                each.cancel()
        await self.drain()

    async def start_due(self) -> bool:
        """Start due probes while there is room; returns whether any was started."""
        room = MAX_CONCURRENT_PROBES - len(self._tasks)
        if room <= 0:
            return False
        probes = await in_thread(
            claim_probes, self._database, owner=self._owner, limit=room, lease=self._lease
        )
        for probe in probes:
            task = asyncio.create_task(self._run(probe))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return bool(probes)

    async def _run(self, probe: Probe) -> None:
        facts = probe.lane.log_fields
        found = UNKNOWN
        try:
            async with asyncio.timeout(self._lease.total_seconds() / 2):
                found = await self._probe(probe)
        except TimeoutError:
            pass
        except Exception:
            logger.exception("probe_failed", extra=facts)
        try:
            await in_thread(settle_probe, self._database, probe, found)
            logger.info("account_probed", extra={**facts, "found": found.finding.name.lower()})
        except LeaseLostError:
            logger.warning("lease_lost", extra=facts)
            self._metrics.fenced()
        except Exception:  # its lease ends by itself
            logger.exception("probe_not_settled", extra=facts)

    async def _probe(self, probe: Probe) -> ProbeResult:
        did, known = probe.lane.did, probe.lane.host
        try:
            host = await self._directory.host_of(did)
        except DirectoryUnavailableError:
            finding = LOCATIONS[await self._pds.account_status(known, did)]
            # absent here says little while no directory says where it is
            return UNKNOWN if finding is AccountLocation.MISSING else ProbeResult(finding)
        if host is None:
            return ProbeResult(AccountLocation.MISSING)
        status = await self._pds.account_status(host, did)
        if host == known or status in {AccountStatus.ABSENT, AccountStatus.UNKNOWN}:
            return ProbeResult(LOCATIONS[status])
        return ProbeResult(AccountLocation.MOVED, host, await self._has_records(host, did))

    async def _has_records(self, host: str, did: str) -> bool:
        """Whether the newest records are at the new host as they were last observed, as far as it says."""
        sample = await in_thread(self._sample, did)
        found = await asyncio.gather(*(self._is_there(host, key, cid) for key, cid in sample))
        answers = [each for each in found if each is not None]
        return all(answers) and (bool(answers) or not sample)

    def _sample(self, did: str) -> Sequence[tuple[RecordKey, str]]:
        with self._database.read() as connection:
            rows = connection.execute(
                select(mirror_target)
                .where(target_columns.did == did, target_columns.observed_cid.is_not(None))
                .order_by(target_columns.acked_gen.desc())
                .limit(SAMPLE_RECORDS)
            )
            return [(RecordKey(row.did, row.collection, row.rkey), row.observed_cid) for row in rows]

    async def _is_there(self, host: str, key: RecordKey, cid: str) -> bool | None:
        try:
            return (await self._pds.get(host, key)).cid == cid
        except RemoteUnknownError:
            return None  # one failed read says nothing of the records
