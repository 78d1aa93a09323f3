"""Reads and writes the rows of the hosts.

A row is written only when it changes, in a transaction that locks nothing else, and waits for its lock but briefly.
"""

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import httpx
from sqlalchemy import ColumnElement, Connection, and_, bindparam, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from eventstore.append import insert_of
from eventstore.database import Database
from eventstore.errors import EventStoreError
from outbox.mirror.host_state import HostReport, changes
from outbox.mirror.states import LaneState
from outbox.mirror.tables import PAST, mirror_lane, pds_host
from outbox.pds.client import Pds
from outbox.pds.verdict import Kind, Phase, Verdict
from outbox.ports import Sessions
from outbox.threads import in_thread

logger = logging.getLogger("mastertape.outbox")

LOCK_TIMEOUT_SECONDS: Final = 1.0
"""Claims and reports lock a host's row for milliseconds: after this, the holder has stopped."""


def is_open_for_backfill(now: ColumnElement[datetime]) -> ColumnElement[bool]:
    """Whether a host may be sent what can wait: the rest of its budget is for live work."""
    host = pds_host.c
    return and_(~host.paused, host.retry_at <= now, host.paced_until <= now, host.backfill_after <= now)


_HOST: Final = select(pds_host).where(pds_host.c.host == bindparam("of_host"))
_HOST_LOCKED: Final = _HOST.with_for_update()
_LOCK_TIMEOUT: Final = text(f"set local lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'")
_OTHER_ACCOUNT: Final = (
    select(mirror_lane.c.did)
    .where(
        mirror_lane.c.host == bindparam("host"),
        mirror_lane.c.did != bindparam("did"),
        mirror_lane.c.state == LaneState.READY,
        ~mirror_lane.c.paused,
    )
    .limit(1)
)
_CHANGE: Final = update(pds_host).where(pds_host.c.host == bindparam("of_host"))


def changes_host(connection: Connection, report: HostReport, now: datetime) -> bool:
    """Whether the report changes the host's row; takes no lock."""
    if report.is_well is None and report.verdict.budget is None and not report.asks_for_pause:
        return False
    row = connection.execute(_HOST, {"of_host": report.host}).one_or_none()
    return report.asks_for_pause if row is None else bool(changes(row, report, now))


@dataclass(frozen=True)
class Hosts:
    """Says whether a host may be sent requests, and records what they reported of it."""

    _database: Database

    def may_send(self, host: str, *, can_wait: bool = False) -> bool:
        """Whether the host may be sent requests now, or what `can_wait`: of a host without a row nothing is known that would forbid the first."""
        with self._database.read_committed() as connection:
            row = connection.execute(_HOST, {"of_host": host}).one_or_none()
            now = self._database.now(connection)
        if row is None:
            return not can_wait
        opens_at = max(row.retry_at, row.paced_until, row.backfill_after if can_wait else PAST)
        return not row.paused and opens_at <= now

    def record(self, report: HostReport) -> None:
        """Change the host's row, if the report does; for a pause, one is made where there is none.

        A failure is logged and never raised, and the report is lost: the host will repeat it.
        """
        try:
            with self._database.read_committed() as connection:
                if not changes_host(connection, report, self._database.now(connection)):
                    return
            with self._database.write() as connection:
                self._record(connection, report)
        except (SQLAlchemyError, EventStoreError):  # a delivery or a read does not fail for it
            logger.exception("host_not_noted", extra={"host": report.host})

    def _record(self, connection: Connection, report: HostReport) -> None:
        if not self._database.is_sqlite:
            connection.execute(_LOCK_TIMEOUT)
        if report.asks_for_pause:
            new = insert_of(connection.dialect.name, pds_host).values(host=report.host)
            connection.execute(new.on_conflict_do_nothing())
        if (row := connection.execute(_HOST_LOCKED, {"of_host": report.host}).one_or_none()) is None:
            return
        now = self._database.now(connection)
        found = changes(row, report, now, is_only_account=_fails_its_only_account(connection, report))
        if found:
            connection.execute(_CHANGE, {"of_host": report.host, **found})
        if "breaker" in found:
            logger.warning(f"breaker_{found['breaker']}", extra={"host": report.host})  # noqa: G004 - one of two names


def _fails_its_only_account(connection: Connection, report: HostReport) -> bool:
    """Whether the host failed, and no other account is sent anything that could show it to be well.

    A 500 with a name may be the record's fault: it would keep the account's other records back.
    """
    if report.is_well is not False or not report.verdict.concerns_host:
        return False
    return connection.scalar(_OTHER_ACCOUNT, {"host": report.host, "did": report.did}) is None


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
        verdict = await super().read(host, nsid, timeout, params)
        account = params or {}
        did = account.get("did", account.get("repo", ""))
        # not its health: an old host may not know what the read asks for
        await in_thread(self._hosts.record, HostReport(host, did, verdict))
        return verdict
