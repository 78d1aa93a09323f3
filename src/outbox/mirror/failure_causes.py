"""Counts failures by cause: the host, the kind of request, and the status and error that the host answered it with.

Bounded: an error is a name, never free text, and a host has at most MAX_CAUSES_PER_HOST causes, the ones met last.
"""

import hashlib
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Self

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from aggregates.published import Subject
from eventstore.errors import EventStoreError
from eventstore.sql.database import Database
from eventstore.streams.append import upsert
from outbox.mirror.tables import failure_cause, failure_hour
from outbox.pds.verdict import Verdict

logger = logging.getLogger("mastertape.outbox")

MAX_CAUSES_PER_HOST: Final = 100
CAUSE_TTL: Final = timedelta(days=30)
"""After the last failure of a cause; as long as attempts are kept."""
HOUR: Final = timedelta(hours=1)
HOURS_OF_TREND: Final = 24
NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,63}")
UNNAMED: Final = "unnamed"
"""For a text that is no name: what another server writes there is not to be counted as a cause."""
LOCK_TIMEOUT: Final = sa.text("set local lock_timeout = '1s'")

cause: Final = failure_cause.c
hour: Final = failure_hour.c


@dataclass(frozen=True)
class Cause:
    host: str
    phase: str
    status: int | None
    error: str

    @classmethod
    def of(cls, host: str, verdict: Verdict) -> Self:
        """Return the cause of a failure: the PDS's name for it, or the class of the transport's error."""
        error = verdict.error or verdict.kind.value
        named = error if NAME.fullmatch(error) else UNNAMED
        return cls(host, verdict.phase.name.lower(), verdict.status, named)

    @property
    def id(self) -> str:
        facts = "\n".join((self.host, self.phase, str(self.status), self.error))
        return hashlib.sha256(facts.encode()).hexdigest()[:16]


def error_text(verdict: Verdict) -> str:
    """Return the error as rows show it: its name, and the PDS's words for people."""
    return f"{verdict.error or verdict.kind.value}: {verdict.message}"


def hour_of(time: datetime) -> datetime:
    return time.replace(minute=0, second=0, microsecond=0)


def first_hour(now: datetime, of: int = HOURS_OF_TREND) -> datetime:
    """Return the beginning of the first of so many hours, of which the current one is the last."""
    return hour_of(now) - (of - 1) * HOUR


def count_failure(database: Database, host: str, verdict: Verdict, *, did: str, subject: Subject) -> None:
    """Count a failure in a transaction of its own, since all accounts of a host share the row; no delivery fails for it."""
    found = Cause.of(host, verdict)
    sample = {
        "sample_did": did,
        "sample_kind": subject.kind,
        "sample_subject_id": subject.id,
        "sample_error": error_text(verdict),
    }
    try:
        with database.write() as connection:
            if not database.is_sqlite:
                connection.execute(LOCK_TIMEOUT)
            _count(connection, found, database.now(connection), sample)
    except (SQLAlchemyError, EventStoreError):
        logger.exception("failure_not_counted", extra={"host": host, "cause": found.id})


def _count(connection: sa.Connection, found: Cause, now: datetime, sample: Mapping[str, Any]) -> None:
    newest = {"last_seen_at": now, **sample}
    first = {"id": found.id, "first_seen_at": now, **vars(found), **newest}
    if _counted(connection, failure_cause, first, newest) == 1:
        # of a host, those met last are kept: it may make up a name for each failure
        of_host = sa.select(cause.id).where(cause.host == found.host)
        met_longest_ago = of_host.order_by(cause.last_seen_at.desc(), cause.id).offset(MAX_CAUSES_PER_HOST)
        if ids := connection.scalars(met_longest_ago).all():
            connection.execute(sa.delete(failure_hour).where(hour.cause.in_(ids)))
            connection.execute(sa.delete(failure_cause).where(cause.id.in_(ids)))
    if _counted(connection, failure_hour, {"cause": found.id, "hour": hour_of(now)}, {}) == 1:
        is_old = hour.hour < first_hour(now)
        connection.execute(sa.delete(failure_hour).where(hour.cause == found.id, is_old))


def _counted(
    connection: sa.Connection, table: sa.Table, first: Mapping[str, Any], newest: Mapping[str, Any]
) -> Any:
    """Count a failure in the row that has the key of `first`, which the first one makes; returns how many there are."""
    new, failures = upsert(connection, table).values(**first, failures=1), table.c.failures
    more = new.on_conflict_do_update(
        index_elements=[*table.primary_key], set_={**newest, "failures": failures + 1}
    )
    return connection.scalar(more.returning(failures))


def prune_causes(database: Database) -> int:
    """Delete the causes that were not met for CAUSE_TTL, and the hours before the last day; returns how many causes."""
    with database.write() as connection:
        now = database.now(connection)
        connection.execute(sa.delete(failure_hour).where(hour.hour < first_hour(now)))
        old = sa.delete(failure_cause).where(cause.last_seen_at <= now - CAUSE_TTL)
        return connection.execute(old).rowcount


def forget_samples(connection: sa.Connection, did: str) -> None:
    """Remove the samples of an account that is erased; the causes and their counts stay."""
    nothing = dict.fromkeys(("sample_did", "sample_kind", "sample_subject_id", "sample_error"))
    connection.execute(sa.update(failure_cause).where(cause.sample_did == did).values(nothing))
