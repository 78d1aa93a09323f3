"""The order in which the relay delivers an account's targets, and the indexes in that order.

The next target, and the time at which the next is due, are each the first row of an index, however large the backlog.
"""

from typing import Final

from sqlalchemy import ColumnElement, Index, Integer, case, literal_column
from sqlalchemy.sql.elements import Grouping

from outbox.mirror.due import DELETE_LITERAL, is_backfill, is_open, target_columns, target_due_at
from outbox.mirror.tables import CONCERNS_RELAY, NEVER_LITERAL

LIVE, VERIFY, BACKFILL = (literal_column(str(number), Integer) for number in range(3))
"""Classes of work, the most urgent first."""
CLASS: Final[ColumnElement[int]] = case((is_backfill(), BACKFILL), (~is_open(), VERIFY), else_=LIVE)
_FAILURES: Final = case(
    (target_columns.failed_gen == target_columns.desired_gen, target_columns.attempts),
    else_=literal_column("0"),
)
"""How often the newest generation failed: a record that always fails goes behind its siblings."""
ORDER: Final = (CLASS, _FAILURES, target_columns.desired_op != DELETE_LITERAL, target_columns.desired_gen)

COMES_DUE: Final = target_due_at() < NEVER_LITERAL
"""True for targets that are due now or at a known time: the condition of the index that is in their order."""
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
