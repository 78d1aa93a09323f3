"""A PDS client for reads beside deliveries: probes, checks before a command, adoptions, `verify`, a host's blob limit.

Each read is sent only while its host may be sent requests, and records the limits in the response: a pause that one
process was asked for holds for all. Deliveries do both when they are claimed and settled.
"""

from typing import Any, Final

import httpx

from outbox.mirror.host_state import HostReport
from outbox.mirror.hosts import Hosts
from outbox.pds.client import Pds
from outbox.pds.verdict import Kind, Phase, Verdict
from outbox.ports import Sessions
from outbox.threads import in_thread

LEFT_ALONE: Final = Verdict(
    Kind.NOT_SENT,
    error="left_alone",
    message="the PDS is paused, is not well or has asked us to wait, so it was not asked; try again later",
    phase=Phase.READ,
)
"""The verdict of a read that was not sent."""


class PacedPds(Pds):
    """Sends a host nothing while it is paused, and records the limits in its responses."""

    def __init__(self, sessions: Sessions, http: httpx.AsyncClient, hosts: Hosts) -> None:
        super().__init__(sessions, http)
        self._hosts = hosts

    async def read(
        self, host: str, nsid: str, timeout: float, params: dict[str, str] | None = None
    ) -> Verdict:
        """Send the read if the host may be sent requests, otherwise return LEFT_ALONE."""
        if not await in_thread(self._hosts.may_send, host):
            return LEFT_ALONE
        return await self._recorded(host, params, await super().read(host, nsid, timeout, params))

    async def _recorded(self, host: str, params: dict[str, Any] | None, verdict: Verdict) -> Verdict:
        account = params or {}
        did = account.get("did", account.get("repo", ""))
        # not its health: an old host may not know what the read asks for
        await in_thread(self._hosts.record_if_changed, HostReport.of_limits(host, did, verdict))
        return verdict
