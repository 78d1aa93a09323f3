"""Hosts: a breaker for each, and the budgets that all of its accounts share.

The breaker opens after failures in a row of two accounts or more, for longer each time; then one lane tries, and each
success lets one more in, up to the host's share. The row is written only when something about the host has changed,
and in a transaction of its own: whoever holds it holds nothing else, and who would have to wait for it passes on. Only
a pause that a host has asked for is waited for a little, and else kept until it can be noted: it is told once.
"""

import logging
import random
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from weakref import WeakKeyDictionary

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from eventstore.append import insert_of
from eventstore.database import Database
from eventstore.errors import EventStoreError
from eventstore.schema import UtcDateTime
from outbox.backoff import backoff
from outbox.mirror.tables import pds_host
from outbox.pds.pacing import BACKFILL_KEEPS, LIVE_KEEPS, Budget
from outbox.pds.verdict import Kind, Phase, Scope, Verdict

logger = logging.getLogger(__name__)

CLOSED, OPEN, HALF_OPEN = "closed", "open", "half_open"
OPENS_AFTER: Final = 5
"""So many failures in a row."""
FIRST_SECONDS, LONGEST_SECONDS = 5.0, 600.0
COARSE: Final = 0.1
"""How much of a budget has to be gone before it is written down again."""
WOBBLE: Final = timedelta(seconds=5)
"""The same reset, told in whole seconds by another clock, never comes out quite the same."""
TRIES: Final = 5
WAIT_SECONDS: Final = 1.0
"""Claims and notes hold a host's row for milliseconds: after so long its holder has stopped."""

Changes = dict[str, Any]


def is_open(now: ColumnElement[datetime]) -> ColumnElement[bool]:
    """Whether a host may be asked anything."""
    host = pds_host.c
    return and_(~host.paused, host.retry_at <= now, host.paced_until <= now)


def is_open_behind_live(now: ColumnElement[datetime]) -> ColumnElement[bool]:
    """Whether a host may be asked what can wait: live work has the rest of its budget."""
    return and_(is_open(now), pds_host.c.backfill_after <= now)


_NOW: Final[ColumnElement[datetime]] = bindparam("now", type_=UtcDateTime())
_HOST: Final = select(pds_host).where(pds_host.c.host == bindparam("of_host"))
_IS_OPEN: Final = select(is_open(_NOW)).where(pds_host.c.host == bindparam("of_host"))
_IS_OPEN_BEHIND_LIVE: Final = select(is_open_behind_live(_NOW)).where(pds_host.c.host == bindparam("of_host"))
_HOST_LOCKED: Final = _HOST.with_for_update(skip_locked=True)
_HOST_AWAITED: Final = _HOST.with_for_update()
_WAIT: Final = text(f"set local lock_timeout = '{WAIT_SECONDS}s'")
_CHANGE: Final = update(pds_host).where(pds_host.c.host == bindparam("of_host"))


@dataclass(frozen=True)
class HostReport:
    """What a request told of its host."""

    host: str
    did: str
    verdict: Verdict
    is_well: bool | None
    again: bool = False
    """Whether it breaks down over this record each time: that may be the record's fault alone."""

    @classmethod
    def of(
        cls, host: str, did: str, verdict: Verdict, *, answered: bool = False, again: bool = False
    ) -> "HostReport":
        """Take what a verdict says; `answered` if the host was heard, whatever the verdict is about."""
        is_well = verdict.host_is_well
        return cls(host, did, verdict, True if is_well is None and answered else is_well, again)

    @property
    def asks_for_pause(self) -> bool:
        """Whether nothing may be sent to the host for a while."""
        budget = self.verdict.budget
        return self.verdict.kind is Kind.PACED or (budget is not None and budget.is_dry(LIVE_KEEPS, 1))


def breaker_state(host: Any, now: datetime) -> str:
    """Give the state of a host's breaker, of its row: closed, open or half_open."""
    if host.breaker == CLOSED:
        return CLOSED
    return OPEN if host.retry_at > now else HALF_OPEN


def has_room_behind_live(database: Database, host: str) -> bool:
    """Whether the host may be asked what can wait, just now."""
    with database.read_committed() as connection:
        given = {"of_host": host, "now": database.now(connection)}
        return bool(connection.scalar(_IS_OPEN_BEHIND_LIVE, given))


def may_be_asked(database: Database, host: str) -> bool:
    """Whether anything may be sent to the host just now; one that is new here nobody has forbidden."""
    with database.read_committed() as connection:
        is_allowed = connection.scalar(_IS_OPEN, {"of_host": host, "now": database.now(connection)})
        return is_allowed is None or bool(is_allowed)


def lanes_at_once(host: Any) -> int:
    """Give how many lanes of the host may be under way, of its row."""
    if host.breaker == OPEN:
        return 1
    most: int = host.max_lanes if host.ramp is None else min(host.ramp, host.max_lanes)
    return most


def changes_host(connection: Connection, report: HostReport, now: datetime) -> bool:
    """Whether the host's row has to be changed for what was heard; takes no lock."""
    if report.is_well is None and report.verdict.budget is None and not report.asks_for_pause:
        return False
    row = connection.execute(_HOST, {"of_host": report.host}).one_or_none()
    return row is not None and bool(changes(row, report, now))


def record_if_changed(database: Database, report: HostReport) -> None:
    """Change the host's row if it has to be; a host that is new here gets one for the pause that it asks for."""
    if report.asks_for_pause:
        with database.write() as connection:
            row = insert_of(connection.dialect.name, pds_host).values(host=report.host)
            connection.execute(row.on_conflict_do_nothing())
    with database.read_committed() as connection:
        is_new = changes_host(connection, report, database.now(connection))
    if is_new:
        record(database, report)


def record(database: Database, report: HostReport) -> None:
    """Change the host's row. When others hold it all the time a pause is kept; all else the next answer says again."""
    try:
        if _note_pause(database, report) if report.asks_for_pause else _note_soon(database, report):
            return
        logger.warning("host_not_noted", extra={"host": report.host})
    except (SQLAlchemyError, EventStoreError):  # what was delivered is settled
        logger.exception("host_not_noted", extra={"host": report.host})
    if report.asks_for_pause:
        _kept.setdefault(database, {})[report.host] = report


_kept: Final[WeakKeyDictionary[Database, dict[str, HostReport]]] = WeakKeyDictionary()
"""The newest pause of each host that could not be noted yet."""


def note_kept(database: Database) -> frozenset[str]:
    """Note what was kept, and give the hosts whose rows others still hold: of these nothing is to be claimed."""
    kept = _kept.get(database, {})
    for host, report in list(kept.items()):
        if _note(database, report, _HOST_LOCKED) and kept.get(host) is report:
            del kept[host]
    return frozenset(kept)


def _note_pause(database: Database, report: HostReport) -> bool:
    if database.is_sqlite:
        return _note(database, report, _HOST_LOCKED)
    with database.write() as connection:
        connection.execute(_WAIT)
        return _note(database, report, _HOST_AWAITED)


def _note_soon(database: Database, report: HostReport) -> bool:
    for _ in range(TRIES):
        if _note(database, report, _HOST_LOCKED):
            return True
        time.sleep(random.uniform(0.001, 0.01))  # noqa: S311 - a claim holds it, which takes milliseconds
    return False


def _note(database: Database, report: HostReport, locking: Select[Any]) -> bool:
    with database.write() as connection:
        row = connection.execute(locking, {"of_host": report.host}).one_or_none()
        if row is None:
            return False
        found = changes(row, report, database.now(connection))
        if found:
            connection.execute(_CHANGE, {"of_host": report.host, **found})
        if "breaker" in found:
            logger.warning(f"breaker_{found['breaker']}", extra={"host": report.host})  # noqa: G004 - one of two names
        return True


def changes(host: Any, report: HostReport, now: datetime) -> Changes:
    """Give the columns of the host's row that change."""
    found: Changes = {}
    if report.is_well is not None:
        found |= _after_success(host) if report.is_well else _after_failure(host, report, now)
    if report.verdict.budget is not None:
        found |= _after_budget(host, report.verdict.budget, report.verdict.phase, now)
    if report.verdict.kind is Kind.PACED:
        found |= _after_limit(host, found, report.verdict, now)
    return found


def _after_success(host: Any) -> Changes:
    calm: Changes = {"failures": 0, "failing_did": None, "many_fail": False}
    if host.breaker == OPEN:
        return {**calm, "breaker": CLOSED, **_ramp(host, 2)}
    if host.ramp is not None:
        return {**calm, **_ramp(host, host.ramp + 1)}
    return calm if host.failures else {}


def _ramp(host: Any, lanes: int) -> Changes:
    """Let so many lanes in; once it is all, the host is as good as any other."""
    if lanes < host.max_lanes:
        return {"ramp": lanes}
    return {"ramp": None, "openings": 0, "last_error": None}


def _after_failure(host: Any, report: HostReport, now: datetime) -> Changes:
    state = breaker_state(host, now)
    if state == OPEN:
        return {}  # sent before it opened
    if report.again and state == CLOSED:
        return {}  # else two bad records would close a host that has little else to do
    first = host.failing_did or report.did
    found: Changes = {
        "failures": host.failures + 1,
        "failing_did": first,
        "many_fail": host.many_fail or first != report.did,
        "last_error": f"{report.verdict.error}: {report.verdict.message}",
    }
    if state == HALF_OPEN or (found["many_fail"] and found["failures"] >= OPENS_AFTER):
        openings = host.openings + (not report.again)
        pause = backoff(openings - 1, first=FIRST_SECONDS, cap=LONGEST_SECONDS)
        found |= {"breaker": OPEN, "retry_at": now + pause, "openings": openings, "ramp": None}
    return found


def _after_budget(host: Any, budget: Budget, phase: Phase, now: datetime) -> Changes:
    """Nobody else draws on our address, so uploads are used up; of the rest a share is left for reads and sign-ins."""
    reset = budget.reset_at(now)
    if budget.is_of_host:
        found = _written_down(host, "budget", budget, reset)
        if found:
            found["budget_seconds"] = budget.window
        if budget.is_dry(LIVE_KEEPS, 1):
            found |= _later(host, "paced_until", reset, by=WOBBLE)
        elif budget.is_dry(BACKFILL_KEEPS, 1):
            found |= _later(host, "backfill_after", reset, by=WOBBLE)
        return found
    if phase is not Phase.UPLOAD:
        return {}
    found = _written_down(host, "blob", budget, reset)
    if budget.is_dry(0.0, 1):
        found |= _later(host, "blobs_after", reset, by=WOBBLE)
    return found


def _written_down(host: Any, name: str, budget: Budget, reset: datetime) -> Changes:
    """Write a budget down, unless it is much as it was: an account's every write tells it."""
    then = {column: getattr(host, f"{name}_{column}") for column in ("limit", "left", "reset")}
    is_known = then["limit"] == budget.limit and abs(then["reset"] - reset) < WOBBLE
    if is_known and 0 <= then["left"] - budget.left < max(1, COARSE * budget.limit):
        return {}
    return {f"{name}_limit": budget.limit, f"{name}_left": budget.left, f"{name}_reset": reset}


def _after_limit(host: Any, found: Changes, verdict: Verdict, now: datetime) -> Changes:
    column = {Scope.HOST: "paced_until", Scope.BLOBS: "blobs_after"}.get(verdict.scope)
    if column is None:
        return {}
    until = max(now + verdict.asked(now), found.get(column, now))
    return _later(host, column, until)


def _later(host: Any, column: str, until: datetime, *, by: timedelta = timedelta()) -> Changes:
    return {column: until} if getattr(host, column) + by < until else {}
