"""The ids that tracks had at the service they came from."""

import sqlalchemy as sa
from alembic import op

from eventstore.sql.schema import Position

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "peer_track",
        sa.Column("peer_id", Position, autoincrement=False, nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("track_id", Position, nullable=False),
        sa.PrimaryKeyConstraint("peer_id", name=op.f("pk_peer_track")),
        sa.UniqueConstraint("track_id", name=op.f("uq_peer_track_track_id")),
    )
    op.create_index(op.f("ix_peer_track_did"), "peer_track", ["did"])
