"""The rows of the hosts: what is asked of them, and noting what requests told.

A row is written only when something about the host has changed, and in a transaction of its own: whoever holds it holds
nothing else, and who would have to wait for it passes on. Only for a pause that a host has asked for is the row waited
for a little. What cannot be written is logged and lost: the host says it again.
"""

import logging
import random
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, and_, bindparam, select, text, update
from sqlalchemy.exc import SQLAlchemyError

from eventstore.append import insert_of
from eventstore.database import Database
from eventstore.errors import EventStoreError
from eventstore.schema import UtcDateTime
from outbox.mirror.host_state import HostReport, changes
from outbox.mirror.tables import pds_host

logger = logging.getLogger("mastertape.outbox")

TRIES: Final = 5
WAIT_SECONDS: Final = 1.0
"""Claims and notes hold a host's row for milliseconds: after so long its holder has stopped."""


def _is_open(now: ColumnElement[datetime]) -> ColumnElement[bool]:
    """Whether a host may be asked anything."""
    host = pds_host.c
    return and_(~host.paused, host.retry_at <= now, host.paced_until <= now)


def is_open_behind_live(now: ColumnElement[datetime]) -> ColumnElement[bool]:
    """Whether a host may be asked what can wait: live work has the rest of its budget."""
    return and_(_is_open(now), pds_host.c.backfill_after <= now)


_NOW: Final[ColumnElement[datetime]] = bindparam("now", type_=UtcDateTime())
_HOST: Final = select(pds_host).where(pds_host.c.host == bindparam("of_host"))
_IS_OPEN: Final = select(_is_open(_NOW)).where(pds_host.c.host == bindparam("of_host"))
_IS_OPEN_BEHIND_LIVE: Final = select(is_open_behind_live(_NOW)).where(pds_host.c.host == bindparam("of_host"))
_HOST_LOCKED: Final = _HOST.with_for_update(skip_locked=True)
_HOST_AWAITED: Final = _HOST.with_for_update()
_WAIT: Final = text(f"set local lock_timeout = '{WAIT_SECONDS}s'")
_CHANGE: Final = update(pds_host).where(pds_host.c.host == bindparam("of_host"))


def changes_host(connection: Connection, report: HostReport, now: datetime) -> bool:
    """Whether the host's row has to be changed for what was heard; takes no lock."""
    if report.is_well is None and report.verdict.budget is None and not report.asks_for_pause:
        return False
    row = connection.execute(_HOST, {"of_host": report.host}).one_or_none()
    return report.asks_for_pause if row is None else bool(changes(row, report, now))


class Hosts:
    """Says whether a host may be asked, and notes what requests told of it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def may_be_asked(self, host: str) -> bool:
        """Whether anything may be sent to the host just now; one that is new here nobody has forbidden."""
        is_allowed = self._answer(_IS_OPEN, host)
        return is_allowed is None or is_allowed

    def has_room_behind_live(self, host: str) -> bool:
        """Whether the host may be asked what can wait, just now."""
        return bool(self._answer(_IS_OPEN_BEHIND_LIVE, host))

    def note_if_changed(self, report: HostReport) -> None:
        """Change the host's row if it has to be; a failure is as with `note`."""
        self._note_or_log(report, self._is_noted_if_changed)

    def note(self, report: HostReport) -> None:
        """Change the host's row; one that is new here gets a row for the pause that it asks for.

        Failing to is logged and never raised: others hold the row all the time, or the database refuses.
        """
        self._note_or_log(report, self._is_noted)

    def _answer(self, question: Select[bool], host: str) -> bool | None:
        with self._database.read_committed() as connection:
            return connection.scalar(question, {"of_host": host, "now": self._database.now(connection)})

    def _note_or_log(self, report: HostReport, is_noted: Callable[[HostReport], bool]) -> None:
        facts = {"host": report.host}
        try:
            if not is_noted(report):
                logger.warning("host_not_noted", extra=facts)
        except (SQLAlchemyError, EventStoreError):  # what was delivered or read is not undone by that
            logger.exception("host_not_noted", extra=facts)

    def _is_noted_if_changed(self, report: HostReport) -> bool:
        with self._database.read_committed() as connection:
            is_new = changes_host(connection, report, self._database.now(connection))
        return not is_new or self._is_noted(report)

    def _is_noted(self, report: HostReport) -> bool:
        return self._note_pause(report) if report.asks_for_pause else self._note_soon(report)

    def _note_pause(self, report: HostReport) -> bool:
        if self._database.is_sqlite:
            return self._note(report, _HOST_LOCKED)
        with self._database.write() as connection:
            connection.execute(_WAIT)
            return self._note(report, _HOST_AWAITED)

    def _note_soon(self, report: HostReport) -> bool:
        for _ in range(TRIES):
            if self._note(report, _HOST_LOCKED):
                return True
            time.sleep(random.uniform(0.001, 0.01))  # noqa: S311 - a claim holds it, which takes milliseconds
        return False

    def _note(self, report: HostReport, locking: Select[Any]) -> bool:
        with self._database.write() as connection:
            row = _locked_row(connection, report, locking)
            if row is None:
                return False
            found = changes(row, report, self._database.now(connection))
            if found:
                connection.execute(_CHANGE, {"of_host": report.host, **found})
            if "breaker" in found:
                logger.warning(f"breaker_{found['breaker']}", extra={"host": report.host})  # noqa: G004 - one of two names
            return True


def _locked_row(connection: Connection, report: HostReport, locking: Select[Any]) -> Any:
    """Give the host's row, made for a pause where there was none; None while others hold it."""
    host = {"of_host": report.host}
    row = connection.execute(locking, host).one_or_none()
    if row is not None or not report.asks_for_pause:
        return row
    new = insert_of(connection.dialect.name, pds_host).values(host=report.host)
    connection.execute(new.on_conflict_do_nothing())
    return connection.execute(locking, host).one_or_none()
