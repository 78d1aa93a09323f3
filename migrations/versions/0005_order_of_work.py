"""Indexes in which the relay finds the next target of an account, and its time, whatever number there is to be sent."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Read by expressions, which are as the queries have them."""
    is_sqlite = op.get_context().dialect.name == "sqlite"
    former, stays, attached = (
        ("former = 1", "former = 0", "detached = 0")
        if is_sqlite
        else ("former", "NOT former", "NOT detached")
    )
    past, never = "'1970-01-01 00:00:00.000000'", "'9999-01-01 00:00:00.000000'"
    is_open = (
        "desired_gen > acked_gen AND (state != 'rejected' OR failed_gen < desired_gen) AND ("
        f"{former} AND cleared_gen >= desired_gen AND (state != 'held' OR failed_gen < desired_gen)"
        f" OR {stays} AND desired_op = 'delete' OR {stays} AND state != 'held' AND {attached})"
    )
    due_at = (
        f"CASE WHEN (NOT ({is_open})) THEN look_at"
        f" WHEN (failed_gen = desired_gen) THEN not_before ELSE {past} END"
    )
    comes_due = sa.text(f"{due_at} < {never}")
    concerns_relay = sa.text(f"desired_gen > acked_gen OR look_at < {never}")
    op.create_index(
        "ix_mirror_target_next",
        "mirror_target",
        [
            "did",
            sa.text(f"(CASE WHEN backfill THEN 2 WHEN (NOT ({is_open})) THEN 1 ELSE 0 END)"),
            sa.text("(CASE WHEN (failed_gen = desired_gen) THEN attempts ELSE 0 END)"),
            sa.text("(desired_op != 'delete')"),
            "desired_gen",
        ],
        sqlite_where=comes_due,
        postgresql_where=comes_due,
    )
    op.create_index(
        "ix_mirror_target_due",
        "mirror_target",
        ["did", "backfill", sa.text(f"({due_at})")],
        sqlite_where=concerns_relay,
        postgresql_where=concerns_relay,
    )
    op.drop_index("ix_mirror_target_open", "mirror_target")
