"""Probes: looks at the accounts of lanes that wait for them, or whose hosts have not answered for long.

The directory is asked first where the account is, then the host that it names how it stands there. That needs no
login and changes nothing at the PDS. What was found is settled as a flight is: under the lane's epoch, and only if
nobody has spoken since the claim.
"""

import asyncio
import logging
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from sqlalchemy import select

from eventstore.database import Database
from outbox.metrics import NO_METRICS, RelayMetrics
from outbox.mirror.lanes import LeaseLostError, target_columns
from outbox.mirror.paced_pds import PacedPds
from outbox.mirror.tables import mirror_target
from outbox.pds.client import RecordKey, RemoteUnknownError, Standing
from outbox.ports import Directory, DirectoryUnavailableError
from outbox.probes.jobs import AccountLocation, Probe, ProbeResult, claim_probes, settle_probe
from outbox.threads import in_thread

logger = logging.getLogger("mastertape.outbox")

AT_ONCE: Final = 8
SAMPLE: Final = 5
UNKNOWN: Final = ProbeResult(AccountLocation.UNKNOWN)
FINDINGS: Final = {
    Standing.ACTIVE: AccountLocation.ACTIVE,
    Standing.INACTIVE: AccountLocation.INACTIVE,
    Standing.ABSENT: AccountLocation.MISSING,
    Standing.UNKNOWN: AccountLocation.UNKNOWN,
}


class Probes:
    """Looks at a few accounts at a time; holds no transaction, lock or thread while it waits."""

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
        self._looks: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> bool:
        """Whether a look is under way."""
        return bool(self._looks)

    async def drain(self) -> None:
        """Wait for the looks that are under way."""
        await asyncio.gather(*self._looks, return_exceptions=True)

    async def stop(self, seconds: float) -> None:
        """Let the looks that are under way end within this time; others look again when the lease is over."""
        if self._looks:
            _, late = await asyncio.wait(self._looks, timeout=seconds)
            for each in late:
                each.cancel()
        await self.drain()

    async def start_due(self) -> bool:
        """Start what is due and there is room for."""
        room = AT_ONCE - len(self._looks)
        if room <= 0:
            return False
        probes = await in_thread(
            claim_probes, self._database, owner=self._owner, limit=room, lease=self._lease
        )
        for probe in probes:
            task = asyncio.create_task(self._run(probe))
            self._looks.add(task)
            task.add_done_callback(self._looks.discard)
        return bool(probes)

    async def _run(self, probe: Probe) -> None:
        facts = probe.lane.log_fields
        found = UNKNOWN
        try:
            async with asyncio.timeout(self._lease.total_seconds() / 2):
                found = await self._look(probe)
        except TimeoutError:
            pass
        except Exception:
            logger.exception("probe_failed", extra=facts)
        try:
            await in_thread(settle_probe, self._database, probe, found)
            logger.info("account_probed", extra={**facts, "found": found.finding.name.lower()})
        except LeaseLostError:
            logger.warning("lease_lost", extra=facts)
            self._metrics.lease_lost(fenced=True)
        except Exception:  # its lease ends by itself
            logger.exception("probe_not_settled", extra=facts)

    async def _look(self, probe: Probe) -> ProbeResult:
        did, known = probe.lane.did, probe.lane.host
        try:
            host = await self._directory.host_of(did)
        except DirectoryUnavailableError:
            finding = FINDINGS[await self._pds.standing(known, did)]
            # not here says little as long as nobody says where else
            return UNKNOWN if finding is AccountLocation.MISSING else ProbeResult(finding)
        if host is None:
            return ProbeResult(AccountLocation.MISSING)
        standing = await self._pds.standing(host, did)
        if host == known or standing in {Standing.ABSENT, Standing.UNKNOWN}:
            return ProbeResult(FINDINGS[standing])
        return ProbeResult(AccountLocation.MOVED, host, await self._has_records(host, did))

    async def _has_records(self, host: str, did: str) -> bool:
        """Whether the records that were written last are at the new host as we know them, as far as it says."""
        sample = await in_thread(self._sample, did)
        found = await asyncio.gather(*(self._is_there(host, key, cid) for key, cid in sample))
        said = [each for each in found if each is not None]
        return all(said) and (bool(said) or not sample)

    def _sample(self, did: str) -> Sequence[tuple[RecordKey, str]]:
        with self._database.read() as connection:
            rows = connection.execute(
                select(mirror_target)
                .where(target_columns.did == did, target_columns.observed_cid.is_not(None))
                .order_by(target_columns.acked_gen.desc())
                .limit(SAMPLE)
            )
            return [(RecordKey(row.did, row.collection, row.rkey), row.observed_cid) for row in rows]

    async def _is_there(self, host: str, key: RecordKey, cid: str) -> bool | None:
        try:
            return (await self._pds.get(host, key)).cid == cid
        except RemoteUnknownError:
            return None  # one question that nobody answered says nothing of the records
