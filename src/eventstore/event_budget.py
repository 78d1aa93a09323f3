"""The bytes of events that an account's commands may add in a day: the log keeps each of them for ever.

Each process counts in memory, and adds up to a thousandth of the budget at a time to the account's row, in the unit that reaches
it. So a small edit takes no statement more, and a process that ends forgets no more than that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from math import ceil
from threading import Lock
from typing import Final

import sqlalchemy as sa
from sqlalchemy.sql.dml import Insert

from aggregates.published_events import Deleted
from aggregates.releases import release_events
from eventstore.change import Change
from eventstore.errors import EventBudgetError
from eventstore.sql.prepared import Prepared
from eventstore.sql.schema import Position, UtcDateTime, metadata
from eventstore.streams.append import insert_of, key_of
from eventstore.streams.buckets import account_columns
from eventstore.unit_of_work import UnitOfWork

event_bytes: Final = sa.Table(
    "event_bytes",
    metadata,
    *account_columns(primary_key=True),
    sa.Column("day", UtcDateTime, nullable=False),
    sa.Column("bytes", Position, nullable=False),
)
DAY: Final = timedelta(days=1)
STEPS: Final = 1000
MAX_REMEMBERED_ACCOUNTS: Final = 16_384
DELETIONS: Final = (Deleted, release_events.Deleted)
"""Events of units that are never refused: an owner may always take back."""


class EventBudget:
    """The budget of each account."""

    def __init__(self, bytes_per_day: int) -> None:
        self.bytes_per_day: Final = bytes_per_day
        self.uncounted: Final = dict[str, int]()
        """By account, the bytes that are in no row yet."""
        self._lock: Final = Lock()

    def limit(self, unit: UnitOfWork) -> None:
        """Count what the unit saves; beyond the budget it raises EventBudgetError, unless it deletes."""
        spending = _Spending(self, unit)
        unit.before_save(spending.spend)
        unit.after_commit(spending.keep)

    def add_uncounted(self, account: str, size: int) -> None:
        with self._lock:
            self.uncounted[account] = self.uncounted.pop(account, 0) + size
            if len(self.uncounted) > MAX_REMEMBERED_ACCOUNTS:
                del self.uncounted[next(iter(self.uncounted))]


@dataclass
class _Spending:
    """What one unit takes of its account's budget."""

    budget: EventBudget
    unit: UnitOfWork
    uncounted: int = 0
    """What it adds to the bytes of its account that are in no row yet."""
    deletes: bool = False

    def spend(self, changes: Sequence[Change], size: int) -> None:
        self.deletes |= any(isinstance(change.event, DELETIONS) for change in changes)
        self.uncounted += size
        together = self.budget.uncounted.get(self.unit.account, 0) + self.uncounted
        if together >= self.budget.bytes_per_day // STEPS:
            self.uncounted -= together
            self._count(together)

    def keep(self) -> None:
        self.budget.add_uncounted(self.unit.account, self.uncounted)

    def _count(self, size: int) -> None:
        """Add to the account's row, and refuse what is beyond the budget of this day in UTC."""
        day = self.unit.now.replace(hour=0, minute=0, second=0, microsecond=0)
        row = {"did": self.unit.account, "day": day, "bytes": size}
        today: int = _COUNT.start(self.unit.connection, row).all()[0].bytes
        if today > self.budget.bytes_per_day and not self.deletes:
            raise EventBudgetError(ceil((day + DAY - self.unit.now).total_seconds()))


def _count(dialect: str) -> Insert:
    insert, it = insert_of(dialect, event_bytes), event_bytes.c
    added = sa.case((it.day == insert.excluded.day, it.bytes), else_=0) + insert.excluded.bytes
    return insert.on_conflict_do_update(
        index_elements=key_of(dialect, event_bytes), set_={"day": insert.excluded.day, "bytes": added}
    ).returning(it.bytes)


_COUNT: Final = Prepared(_count, ["did", "day", "bytes"])
