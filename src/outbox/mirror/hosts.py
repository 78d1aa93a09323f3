"""Reads and writes the rows of the hosts.

A row is written only when it changes, in a transaction that locks nothing else, and a locked row is skipped: only to
record a pause does a thread wait for it, briefly.
"""

import logging
import random
import time
from datetime import datetime
from typing import Any, Final

import httpx
from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from eventstore.append import insert_of
from eventstore.database import Database
from eventstore.errors import EventStoreError
from eventstore.schema import UtcDateTime
from outbox.mirror.host_state import HostReport, changes
from outbox.mirror.states import LaneState
from outbox.mirror.tables import mirror_lane, pds_host
from outbox.pds.client import Pds
from outbox.pds.verdict import Kind, Phase, Verdict
from outbox.ports import Sessions
from outbox.threads import in_thread

logger = logging.getLogger("mastertape.outbox")

MAX_TRIES: Final = 5
LOCK_TIMEOUT_SECONDS: Final = 1.0
"""Claims and reports lock a host's row for milliseconds: after this, the holder has stopped."""


def _is_open(now: ColumnElement[datetime]) -> ColumnElement[bool]:
    """Whether a host may be sent requests."""
    host = pds_host.c
    return and_(~host.paused, host.retry_at <= now, host.paced_until <= now)


def is_open_for_backfill(now: ColumnElement[datetime]) -> ColumnElement[bool]:
    """Whether a host may be sent what can wait: the rest of its budget is for live work."""
    return and_(_is_open(now), pds_host.c.backfill_after <= now)


_NOW: Final[ColumnElement[datetime]] = bindparam("now", type_=UtcDateTime())
_HOST: Final = select(pds_host).where(pds_host.c.host == bindparam("of_host"))
_IS_OPEN: Final = select(_is_open(_NOW)).where(pds_host.c.host == bindparam("of_host"))
_IS_OPEN_FOR_BACKFILL: Final = select(is_open_for_backfill(_NOW)).where(
    pds_host.c.host == bindparam("of_host")
)
_HOST_LOCKED: Final = _HOST.with_for_update(skip_locked=True)
_HOST_AWAITED: Final = _HOST.with_for_update()
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


class Hosts:
    """Says whether a host may be sent requests, and records what they reported of it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def may_send(self, host: str) -> bool:
        """Whether the host may be sent requests now; true for a host without a row."""
        is_allowed = self._ask(_IS_OPEN, host)
        return is_allowed is None or is_allowed

    def may_send_backfill(self, host: str) -> bool:
        """Whether the host may be sent what can wait, now."""
        return bool(self._ask(_IS_OPEN_FOR_BACKFILL, host))

    def record_if_changed(self, report: HostReport) -> None:
        """Read without a lock whether the report changes the host's row, and only then `record` it."""
        self.record(report, only_if_changed=True)

    def record(self, report: HostReport, *, only_if_changed: bool = False) -> None:
        """Change the host's row; for a pause, one is made where there is none.

        A failure is logged and never raised, and the report is lost: the host will repeat it.
        """
        facts = {"host": report.host}
        try:
            if only_if_changed:
                with self._database.read_committed() as connection:
                    if not changes_host(connection, report, self._database.now(connection)):
                        return
            tries = 1 if report.asks_for_pause else MAX_TRIES
            for _ in range(tries):
                if self._record(report):
                    return
                time.sleep(random.uniform(0.001, 0.01))  # noqa: S311 - a claim holds it for milliseconds
            logger.warning("host_not_noted", extra=facts)
        except (SQLAlchemyError, EventStoreError):  # a delivery or a read does not fail for it
            logger.exception("host_not_noted", extra=facts)

    def _ask(self, question: Select[bool], host: str) -> bool | None:
        with self._database.read_committed() as connection:
            return connection.scalar(question, {"of_host": host, "now": self._database.now(connection)})

    def _record(self, report: HostReport) -> bool:
        """Change the host's row, unless another transaction holds it; for a pause, wait for that briefly."""
        with self._database.write() as connection:
            waits = report.asks_for_pause and not self._database.is_sqlite
            if waits:
                connection.execute(_LOCK_TIMEOUT)
            row = _locked_row(connection, report, _HOST_AWAITED if waits else _HOST_LOCKED)
            if row is None:
                return False
            now = self._database.now(connection)
            found = changes(row, report, now, is_only_account=_fails_its_only_account(connection, report))
            if found:
                connection.execute(_CHANGE, {"of_host": report.host, **found})
            if "breaker" in found:
                logger.warning(f"breaker_{found['breaker']}", extra={"host": report.host})  # noqa: G004 - one of two names
            return True


def _fails_its_only_account(connection: Connection, report: HostReport) -> bool:
    """Whether the host failed, and no other account is sent anything that could show it to be well.

    A 500 with a name may be the record's fault: it would keep the account's other records back.
    """
    if report.is_well is not False or not report.verdict.concerns_host:
        return False
    return connection.scalar(_OTHER_ACCOUNT, {"host": report.host, "did": report.did}) is None


def _locked_row(connection: Connection, report: HostReport, locking: Select[Any]) -> Any:
    """Return the host's row, made for a pause where there was none; None while another transaction holds it."""
    host = {"of_host": report.host}
    row = connection.execute(locking, host).one_or_none()
    if row is not None or not report.asks_for_pause:
        return row
    new = insert_of(connection.dialect.name, pds_host).values(host=report.host)
    connection.execute(new.on_conflict_do_nothing())
    return connection.execute(locking, host).one_or_none()


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
        await in_thread(self._hosts.record_if_changed, HostReport.of_limits(host, did, verdict))
        return verdict
