"""Reads and writes the rows of the hosts: breakers, and the budgets that a host's accounts share.

The breaker opens after failures in a row of two accounts or more, or of the host's only one, for longer each time; then
one lane tries, and each success adds one, up to the host's maximum. A row is written only when it changes, in a transaction
that locks nothing else, and waits for its lock but briefly.
"""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import httpx
import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from eventstore.coordination.backoff import backoff
from eventstore.errors import EventStoreError
from eventstore.sql.database import Database
from outbox.mirror.failure_causes import error_text
from outbox.mirror.lanes import enter_host, lock_host
from outbox.mirror.states import BreakerState, LaneState
from outbox.mirror.tables import NO_FAILURES, PAST, lane, pds_host
from outbox.pds.client import Pds
from outbox.pds.verdict import BACKFILL_RESERVE, LIVE_RESERVE, Budget, Kind, Phase, Scope, Verdict
from outbox.ports import Sessions
from outbox.threads import in_thread

logger = logging.getLogger("mastertape.outbox")

LOCK_TIMEOUT_SECONDS: Final = 1.0
"""Claims and reports lock a host's row for milliseconds: after this, the holder has stopped."""
OPENS_AFTER_FAILURES: Final = 5
"""In a row."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 5.0, 600.0
MIN_BUDGET_CHANGE: Final = 0.1
"""The share of a budget that has to be spent before it is recorded again."""
CLOCK_TOLERANCE: Final = timedelta(seconds=5)
"""A PDS rounds the same reset to whole seconds of its own clock, so that it varies a little."""

Changes = dict[str, Any]
"""Columns of the row, and their new values."""


@dataclass(frozen=True)
class HostReport:
    """What a request showed of its host: the limits in its verdict, and of a delivery the host's health too."""

    host: str
    did: str
    verdict: Verdict
    is_well: bool | None = None
    breaks_down_again: bool = False
    """Whether the host fails on this record each time, which may be the record's fault alone."""
    is_refuted: bool = False
    """True where the host lacks a write that it acknowledged."""

    @classmethod
    def of(
        cls,
        host: str,
        did: str,
        verdict: Verdict,
        *,
        answered: bool = False,
        breaks_down_again: bool = False,
        is_refuted: bool = False,
    ) -> "HostReport":
        """Make a report of a verdict; `answered` if the host sent any response, whatever the verdict is about."""
        is_well = verdict.host_is_well
        is_well = True if is_well is None and answered else is_well
        return cls(host, did, verdict, is_well, breaks_down_again, is_refuted)

    @property
    def says_nothing_new(self) -> bool:
        """Whether it changes nothing in the row of a host without failures, with a closed breaker."""
        budget = self.verdict.budget
        is_plain = self.verdict.kind is Kind.DONE and not self.is_refuted
        return is_plain and (budget is None or not budget.is_of_host)

    @property
    def asks_for_pause(self) -> bool:
        """Whether the host is to be sent nothing for a while."""
        budget = self.verdict.budget
        return self.verdict.kind is Kind.PACED or (budget is not None and budget.is_used_up(LIVE_RESERVE, 1))


def breaker_state(host: Any, now: datetime) -> BreakerState:
    if host.breaker == BreakerState.CLOSED:
        return BreakerState.CLOSED
    return BreakerState.OPEN if host.retry_at > now else BreakerState.HALF_OPEN


def failed_last(host: Any) -> bool:
    """Return whether the host failed the last time, or is still being let in again, given its row."""
    return bool(host.failures) or host.ramp is not None


def lanes_at_once(host: Any) -> int:
    if host.breaker == BreakerState.OPEN:
        return 1
    most: int = host.max_lanes if host.ramp is None else min(host.ramp, host.max_lanes)
    return most


def changes(host: Any, report: HostReport, now: datetime, *, is_only_account: bool = False) -> Changes:
    """Return the columns of the host's row that change; the failures of its only account are the host's."""
    found: Changes = {}
    if report.is_well is True:
        found |= _after_success(host)
    elif report.is_well is False:
        found |= _after_failure(host, report, now, is_only_account=is_only_account)
    if report.is_refuted:
        found["refuted_writes"] = host.refuted_writes + 1
    if report.verdict.budget is not None:
        found |= _after_budget(host, report.verdict.budget, report.verdict.phase, now)
    column = {Scope.HOST: "paced_until", Scope.BLOBS: "blobs_after"}.get(report.verdict.scope)
    if report.verdict.kind is Kind.PACED and column is not None:
        until = max(now + report.verdict.requested_pause(now), found.get(column, now))
        found |= _later(host, column, until)
    return found


def _after_success(host: Any) -> Changes:
    clear: Changes = {"failures": 0, "failing_did": None, "many_fail": False, **NO_FAILURES}
    if host.breaker == BreakerState.OPEN:
        lanes = 2
        clear["breaker"] = BreakerState.CLOSED
    elif host.ramp is not None:
        lanes = host.ramp + 1
    else:
        return clear if host.failures or host.failing_since is not None else {}
    if lanes < host.max_lanes:
        return {**clear, "ramp": lanes}
    return {**clear, "ramp": None, "openings": 0, "last_error": None}


def _after_failure(host: Any, report: HostReport, now: datetime, *, is_only_account: bool) -> Changes:
    state = breaker_state(host, now)
    if state == BreakerState.OPEN:
        return {}  # sent before it opened
    if report.breaks_down_again and state == BreakerState.CLOSED:
        return {}  # else two bad records would open the breaker of a host that has few others
    first = host.failing_did or report.did
    found: Changes = {
        "failures": host.failures + 1,
        "failing_did": first,
        "many_fail": host.many_fail or first != report.did,
        "last_error": error_text(report.verdict),
    }
    if host.failing_since is None:
        found |= {"failing_since": now, "first_error": found["last_error"]}
    is_of_host = found["many_fail"] or is_only_account
    if state == BreakerState.HALF_OPEN or (is_of_host and found["failures"] >= OPENS_AFTER_FAILURES):
        openings = host.openings + (not report.breaks_down_again)
        pause = backoff(openings - 1, first=FIRST_PAUSE_SECONDS, cap=LONGEST_PAUSE_SECONDS)
        found |= {"breaker": BreakerState.OPEN, "retry_at": now + pause, "openings": openings, "ramp": None}
    return found


def _after_budget(host: Any, budget: Budget, phase: Phase, now: datetime) -> Changes:
    """Uploads may use up their budget; of others a share is left for sign-ins and reads."""
    reset = budget.reset_at(now)
    if budget.is_of_host:
        found = _recorded_budget(host, "budget", budget, reset)
        if found:
            found["budget_seconds"] = budget.window
        if budget.is_used_up(LIVE_RESERVE, 1):
            found |= _later(host, "paced_until", reset, by=CLOCK_TOLERANCE)
        elif budget.is_used_up(BACKFILL_RESERVE, 1):
            found |= _later(host, "backfill_after", reset, by=CLOCK_TOLERANCE)
        return found
    if phase is not Phase.UPLOAD:
        return {}
    found = _recorded_budget(host, "blob", budget, reset)
    if budget.is_used_up(0.0, 1):
        found |= _later(host, "blobs_after", reset, by=CLOCK_TOLERANCE)
    return found


def _recorded_budget(host: Any, name: str, budget: Budget, reset: datetime) -> Changes:
    """Return the budget's columns, unless little has changed: every response repeats them."""
    then = {column: getattr(host, f"{name}_{column}") for column in ("limit", "left", "reset")}
    is_known = then["limit"] == budget.limit and abs(then["reset"] - reset) < CLOCK_TOLERANCE
    if is_known and 0 <= then["left"] - budget.left < max(1, MIN_BUDGET_CHANGE * budget.limit):
        return {}
    return {f"{name}_limit": budget.limit, f"{name}_left": budget.left, f"{name}_reset": reset}


def _later(host: Any, column: str, until: datetime, *, by: timedelta = timedelta()) -> Changes:
    return {column: until} if getattr(host, column) + by < until else {}


def is_open_for_backfill(now: sa.ColumnElement[datetime]) -> sa.ColumnElement[bool]:
    """Whether a host may be sent what can wait: the rest of its budget is for live work."""
    host = pds_host.c
    return sa.and_(~host.paused, host.retry_at <= now, host.paced_until <= now, host.backfill_after <= now)


_HOST: Final = sa.select(pds_host).where(pds_host.c.host == sa.bindparam("of_host"))
_LOCK_TIMEOUT: Final = sa.text(f"set local lock_timeout = '{LOCK_TIMEOUT_SECONDS}s'")
_OTHER_ACCOUNT: Final = (
    sa.select(lane.did)
    .where(
        lane.host == sa.bindparam("host"),
        lane.did != sa.bindparam("did"),
        lane.state == LaneState.READY,
        ~lane.paused,
    )
    .limit(1)
)
_CHANGE: Final = sa.update(pds_host).where(pds_host.c.host == sa.bindparam("of_host"))


def changes_host(connection: sa.Connection, report: HostReport, now: datetime) -> bool:
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

    def _record(self, connection: sa.Connection, report: HostReport) -> None:
        if not self._database.is_sqlite:
            connection.execute(_LOCK_TIMEOUT)
        if report.asks_for_pause:
            enter_host(connection, report.host)
        lock_host(connection, report.host)
        if (row := connection.execute(_HOST, {"of_host": report.host}).one_or_none()) is None:
            return
        now = self._database.now(connection)
        found = changes(row, report, now, is_only_account=_fails_its_only_account(connection, report))
        if found:
            connection.execute(_CHANGE, {"of_host": report.host, **found})
        if report.is_refuted:
            logger.error("acknowledged_and_not_there", extra={"host": report.host, "did": report.did})
        if "breaker" in found:
            logger.warning(f"breaker_{found['breaker']}", extra={"host": report.host})  # noqa: G004 - one of two names


def _fails_its_only_account(connection: sa.Connection, report: HostReport) -> bool:
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
    """Sends a host nothing while it is paused, and records the limits in its responses.

    One whose reads `can_wait` sends nothing while the host is low on budget either, and records its health, too.
    """

    def __init__(
        self, sessions: Sessions, http: httpx.AsyncClient, hosts: Hosts, *, can_wait: bool = False
    ) -> None:
        super().__init__(sessions, http)
        self._hosts, self._can_wait = hosts, can_wait

    async def read(
        self, host: str, nsid: str, timeout: float, params: dict[str, str] | None = None
    ) -> Verdict:
        """Send the read if the host may be sent requests, otherwise return LEFT_ALONE."""
        if not await in_thread(self._hosts.may_send, host, can_wait=self._can_wait):
            return LEFT_ALONE
        verdict = await super().read(host, nsid, timeout, params)
        account = params or {}
        did = account.get("did", account.get("repo", ""))
        # of others not its health: an old host may not know what the read asks for
        report = HostReport.of if self._can_wait else HostReport
        await in_thread(self._hosts.record, report(host, did, verdict))
        return verdict
