"""What people without an account here say of tracks. Nothing of it is known yet."""

import sqlalchemy as sa
from alembic import op

from eventstore.sql.schema import Position
from eventstore.streams.buckets import add_bucket_to_keys

revision = "0043"
down_revision = "0042"


def upgrade() -> None:
    op.create_table(
        "outsider_reaction",
        sa.Column("subject_id", Position, autoincrement=False, nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("bucket", sa.SmallInteger()),
        sa.Column("track_id", Position, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("collection", sa.Text(), nullable=False),
        sa.Column("rkey", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("text", sa.Text()),
        sa.Column("timestamp_ms", sa.Integer()),
        sa.PrimaryKeyConstraint("subject_id", name=op.f("pk_outsider_reaction")),
    )
    op.create_index("ix_outsider_reaction_track_id", "outsider_reaction", ["track_id"])
    record = ["author", "collection", "rkey"]
    op.create_index("ix_outsider_reaction_record", "outsider_reaction", record, unique=True)
    is_like = sa.text("kind = 'like'")
    op.create_index(
        "ix_outsider_reaction_like",
        "outsider_reaction",
        ["author", "track_id"],
        unique=True,
        sqlite_where=is_like,
        postgresql_where=is_like,
    )
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        add_bucket_to_keys(connection, "outsider_reaction")
