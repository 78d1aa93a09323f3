"""Probes accounts: a directory says which host an account has, and that host whether it is active there.

No login is used and nothing is written to the PDS.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from sqlalchemy import select

from eventstore.database import Database
from eventstore.jobs.kinds import Job, Kind, Outcome
from outbox.mirror.due import target_columns
from outbox.mirror.hosts import PacedPds
from outbox.mirror.tables import mirror_target
from outbox.pds.client import AccountStatus, RecordKey, RemoteUnknownError
from outbox.ports import Directory, DirectoryUnavailableError
from outbox.probes.jobs import (
    PROBE,
    AccountLocation,
    Probe,
    ProbeResult,
    probed_lane,
    request_due,
    settle_probe,
)
from outbox.threads import in_thread

logger = logging.getLogger("mastertape.outbox")

MAX_CONCURRENT_PROBES: Final = 8
MAX_CONCURRENT_PROBES_OF_HOST: Final = 2
PROBE_TIMEOUT_SECONDS: Final = 30.0
FIRST_PAUSE_SECONDS: Final = 30.0
MAX_PAUSE_SECONDS: Final = 600.0
SAMPLE_RECORDS: Final = 5
UNKNOWN: Final = ProbeResult(AccountLocation.UNKNOWN)
LOCATIONS: Final = {
    AccountStatus.ACTIVE: AccountLocation.ACTIVE,
    AccountStatus.INACTIVE: AccountLocation.INACTIVE,
    AccountStatus.ABSENT: AccountLocation.MISSING,
    AccountStatus.UNKNOWN: AccountLocation.UNKNOWN,
}


class Probes:
    """Holds no transaction, lock or thread while it waits; `on_settled` has the relay look for what may be sent now."""

    def __init__(
        self,
        database: Database,
        pds: PacedPds,
        directory: Directory,
        *,
        on_settled: Callable[[], object] = lambda: None,
    ) -> None:
        self._database = database
        self._pds = pds
        self._directory = directory
        self._on_settled = on_settled

    def kind(self) -> Kind:
        return Kind(
            PROBE,
            self._work,
            lambda _error: None,
            max_concurrent=MAX_CONCURRENT_PROBES,
            max_per_host=MAX_CONCURRENT_PROBES_OF_HOST,
            first_pause_seconds=FIRST_PAUSE_SECONDS,
            max_pause_seconds=MAX_PAUSE_SECONDS,
            find=request_due,
        )

    async def _work(self, job: Job) -> Outcome:
        probe = await in_thread(probed_lane, self._database, job.subject)
        if probe is None:
            return Outcome.DONE
        found = UNKNOWN
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_SECONDS):
                found = await self._probe(probe)
        except TimeoutError:
            pass
        except Exception:
            logger.exception("probe_failed", extra=job.log_fields)
        await in_thread(settle_probe, self._database, job, probe, found)
        logger.info("account_probed", extra={**job.log_fields, "found": found.finding.name.lower()})
        self._on_settled()
        return Outcome.DONE

    async def _probe(self, probe: Probe) -> ProbeResult:
        did, known = probe.did, probe.host
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
