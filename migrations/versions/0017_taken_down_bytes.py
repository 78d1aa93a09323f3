"""The bytes that are refused since a track was taken down with them."""

import sqlalchemy as sa
from alembic import op

from eventstore.sql.schema import Position

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """No takedown from before has refused any."""
    for name in ("taken_down_bytes", "taken_down_bytes_scratch"):
        op.create_table(
            name,
            sa.Column("track_id", Position, autoincrement=False, nullable=False),
            sa.Column("cid", sa.Text(), nullable=False),
            sa.Column("refused", sa.Boolean(), nullable=False),
            sa.PrimaryKeyConstraint("track_id", "cid", name=op.f(f"pk_{name}")),
        )
    op.create_index("ix_taken_down_bytes_cid", "taken_down_bytes", ["cid"])
