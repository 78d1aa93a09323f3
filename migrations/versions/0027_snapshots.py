"""Snapshots of aggregates; none is needed, so this read model counts as built. `mastertape rebuild snapshots` makes those of earlier events."""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"


def upgrade() -> None:
    position = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    for name in ("aggregate_snapshot", "aggregate_snapshot_scratch"):
        op.create_table(
            name,
            sa.Column("originator_id", sa.Text(), nullable=False),
            sa.Column("originator_version", sa.Integer(), autoincrement=False, nullable=False),
            sa.Column("position", position, nullable=False),
            sa.Column("fingerprint", sa.Text(), nullable=False),
            sa.Column("topic", sa.Text(), nullable=False),
            sa.Column("state", sa.LargeBinary(), nullable=False),
            sa.PrimaryKeyConstraint("originator_id", "originator_version", name=op.f(f"pk_{name}")),
        )
    op.execute(
        "insert into projection_state (name, fingerprint) select 'snapshots', 'snapshots-1'"
        " where exists (select 1 from stored_event)"
    )
