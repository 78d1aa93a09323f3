"""How many deliveries were made in each hour, by which release and within how long. Nothing of it is known yet."""

import sqlalchemy as sa
from alembic import op

from eventstore.sql.schema import Position, UtcDateTime

revision = "0046"
down_revision = "0045"


def upgrade() -> None:
    op.create_table(
        "delivery_hour",
        sa.Column("hour", UtcDateTime(), nullable=False),
        sa.Column("release", sa.Text(), nullable=False),
        sa.Column("within_ms", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("deliveries", Position, nullable=False),
        sa.PrimaryKeyConstraint("hour", "release", "within_ms", name=op.f("pk_delivery_hour")),
    )
