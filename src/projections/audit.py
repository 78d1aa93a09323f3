"""Searches history by account, actor, type and time, newest first and after a cursor."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, func, select

from eventstore.untrusted import is_storable
from projections.history import HistoryEntry, HistoryPage, entries_of, history


@dataclass(frozen=True)
class AuditFilter:
    """Selects events; `since` is inclusive, `until` exclusive."""

    did: str | None = None
    actor: str | None = None
    type: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def conditions(self) -> list[ColumnElement[bool]]:
        """Return the filter as SQL conditions."""
        column = history.c
        equal = {column.did: self.did, column.actor: self.actor, column.type: self.type}
        conditions = [each == value for each, value in equal.items() if value is not None]
        if self.since is not None:
            conditions.append(column.at >= self.since)
        if self.until is not None:
            conditions.append(column.at < self.until)
        return conditions

    def can_match(self) -> bool:
        """Whether any stored text can equal the filter's texts."""
        return all(is_storable(text or "") for text in (self.did, self.actor, self.type))


def audit_page(
    connection: Connection, which: AuditFilter, *, cursor: int | None = None, limit: int = 50
) -> HistoryPage:
    """Read a page; `cursor` is the last position of the page before."""
    if not which.can_match():
        return HistoryPage((), None)
    position = history.c.position
    query = select(history).where(*which.conditions()).order_by(position.desc()).limit(limit + 1)
    if cursor is not None:
        query = query.where(position < cursor)
    rows = connection.execute(query).mappings().all()
    entries = entries_of(rows[:limit])
    return HistoryPage(entries, entries[-1].position if len(rows) > limit else None)


def events_after(
    connection: Connection, which: AuditFilter, *, after: int, until: int, limit: int
) -> tuple[HistoryEntry, ...]:
    """Read the events after a position, oldest first, up to `until`, a stable position."""
    if not which.can_match():
        return ()
    position = history.c.position
    query = select(history).where(*which.conditions(), position > after, position <= until)
    rows = connection.execute(query.order_by(position).limit(limit)).mappings()
    return entries_of(rows)


def newest_positions(connection: Connection, dids: Sequence[str]) -> dict[str, int]:
    """Return the position of each account's newest event, for accounts that have one."""
    whose, newest = history.c.did, func.max(history.c.position)
    these = [did for did in dids if is_storable(did)]
    rows = connection.execute(select(whose, newest).where(whose.in_(these)).group_by(whose))
    return {row.did: row[1] for row in rows}
