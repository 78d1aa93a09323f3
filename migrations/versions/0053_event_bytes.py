"""The bytes of events that the commands of each account have added today. What was added before counts as nothing."""

import sqlalchemy as sa
from alembic import op

from eventstore.sql.schema import Position, UtcDateTime
from eventstore.streams.buckets import add_bucket_to_keys

revision = "0053"
down_revision = "0052"


def upgrade() -> None:
    op.create_table(
        "event_bytes",
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("bucket", sa.SmallInteger()),
        sa.Column("day", UtcDateTime(), nullable=False),
        sa.Column("bytes", Position, nullable=False),
        sa.PrimaryKeyConstraint("did", name=op.f("pk_event_bytes")),
    )
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        add_bucket_to_keys(connection, "event_bytes")
