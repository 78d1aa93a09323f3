"""Repairs of accounts: their plans, their progress, and the leases of their workers."""

import sqlalchemy as sa
from alembic import op

from eventstore.sql.schema import Json, Position, UtcDateTime

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """None has been started."""
    op.create_table(
        "repair",
        sa.Column("id", Position, nullable=False, autoincrement=True),
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("via", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("requested_at", UtcDateTime(), nullable=False),
        sa.Column("not_before", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime()),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("problem", sa.Text()),
        sa.Column("planned_at", UtcDateTime()),
        sa.Column("records", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("steps", sa.LargeBinary()),
        sa.Column("digest", sa.Text()),
        sa.Column("counts", Json, nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False, server_default=sa.text("0")),
        sa.Column("left_out", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("settled", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("applied", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("skipped", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("skips", Json, nullable=False),
        sa.Column("lease_owner", sa.Text()),
        sa.Column("lease_until", UtcDateTime(), nullable=False),
        sa.Column("lease_epoch", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_repair")),
        sqlite_autoincrement=True,
    )
    unfinished = sa.text("ended_at IS NULL")
    op.create_index(
        "uq_repair_unfinished",
        "repair",
        ["did"],
        unique=True,
        sqlite_where=unfinished,
        postgresql_where=unfinished,
    )
