"""In which order the relay sees to an account's targets, and the indexes that are read in it.

However much there is to be sent, the next target and the time of the next are the first row of an index each.
"""

from typing import Final

from sqlalchemy import ColumnElement, Index, Integer, case, literal_column
from sqlalchemy.sql.elements import Grouping

from outbox.mirror.lanes import DELETE_LITERAL, is_backfill, is_open, target_columns, target_due_at
from outbox.mirror.tables import CONCERNS_RELAY, NEVER_LITERAL

LIVE, LOOK, BACKFILL = (literal_column(str(number), Integer) for number in range(3))
"""The classes of work."""
CLASS: Final[ColumnElement[int]] = case((is_backfill(), BACKFILL), (~is_open(), LOOK), else_=LIVE)
_FAILURES: Final = case(
    (target_columns.failed_gen == target_columns.desired_gen, target_columns.attempts),
    else_=literal_column("0"),
)
"""How often the newest generation failed; else a record that always fails would keep its siblings back."""
ORDER: Final = (CLASS, _FAILURES, target_columns.desired_op != DELETE_LITERAL, target_columns.desired_gen)

COMES_DUE: Final = target_due_at() < NEVER_LITERAL
"""Holds for all that are due now or later by themselves. A query that says so reads an index of these, in their order."""
Index(
    "ix_mirror_target_next",
    target_columns.did,
    *map(Grouping, ORDER[:-1]),  # PostgreSQL wants brackets around an expression
    target_columns.desired_gen,
    sqlite_where=COMES_DUE,
    postgresql_where=COMES_DUE,
)
Index(
    "ix_mirror_target_due",
    target_columns.did,
    target_columns.backfill,
    Grouping(target_due_at()),
    sqlite_where=CONCERNS_RELAY,
    postgresql_where=CONCERNS_RELAY,
)
