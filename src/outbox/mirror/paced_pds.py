"""A PDS client for who reads beside the deliveries: probes, looks before a command, adoptions, verify, a blob's limit.

Deliveries are claimed only where their host may be asked, and tell what they hear when they settle. All others do both
with each read: a reset that one of them was told holds for everybody, and one that anybody was told holds for them.
"""

from typing import Any, BinaryIO, Final

import httpx

from outbox.mirror.host_state import HostReport
from outbox.mirror.hosts import Hosts
from outbox.pds.client import Pds, RemoteUnknownError
from outbox.pds.verdict import Kind, Phase, Verdict
from outbox.ports import Sessions
from outbox.threads import in_thread

LEFT_ALONE: Final = Verdict(
    Kind.NOT_SENT,
    error="left_alone",
    message="the PDS is paused, is not well or has asked us to wait, so it was not asked; try again later",
    phase=Phase.READ,
)
"""What is said of a host that was not asked."""


class PacedPds(Pds):
    """Asks a host nothing while it is to be left alone, and notes what its answers tell of its limits."""

    def __init__(self, sessions: Sessions, http: httpx.AsyncClient, hosts: Hosts) -> None:
        super().__init__(sessions, http)
        self._hosts = hosts

    async def read(
        self, host: str, nsid: str, timeout: float, params: dict[str, str] | None = None
    ) -> Verdict:
        """Ask if the host may be asked; LEFT_ALONE else."""
        if not await in_thread(self._hosts.may_be_asked, host):
            return LEFT_ALONE
        return await self._noted(host, params, await super().read(host, nsid, timeout, params))

    async def download(
        self, host: str, nsid: str, params: dict[str, str], into: BinaryIO, *, limit: int, timeout: float
    ) -> Verdict:
        """Download if the host may be asked; raises RemoteUnknownError with LEFT_ALONE else."""
        if not await in_thread(self._hosts.may_be_asked, host):
            raise RemoteUnknownError(LEFT_ALONE)
        try:
            verdict = await super().download(host, nsid, params, into, limit=limit, timeout=timeout)
        except RemoteUnknownError as error:
            await self._noted(host, params, error.verdict)
            raise
        return await self._noted(host, params, verdict)

    async def _noted(self, host: str, params: dict[str, Any] | None, verdict: Verdict) -> Verdict:
        asked_of = params or {}
        did = asked_of.get("did", asked_of.get("repo", ""))
        # of its health a read proves little: it may ask for what the host is too old to know
        await in_thread(self._hosts.note_if_changed, HostReport.of_limits(host, did, verdict))
        return verdict
