"""Processes that may have acknowledged events, so that a promoted standby can be proved to have all of them."""

import sqlalchemy as sa
from alembic import op

from eventstore.sql.schema import UtcDateTime

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the table, and whether a restore is the promotion of a standby."""
    op.create_table(
        "acknowledging_process",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("identity", sa.Text(), nullable=False),
        sa.Column("on_standby", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("is_proven", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("renewed_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_acknowledging_process")),
    )
    op.add_column(
        "log_incarnation", sa.Column("is_promotion", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
