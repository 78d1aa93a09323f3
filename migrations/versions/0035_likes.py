"""Likes, and what others read of them at a track."""

import sqlalchemy as sa
from alembic import op

from eventstore.sql.schema import Position, UtcDateTime
from eventstore.streams.buckets import add_bucket_to_keys

revision = "0035"
down_revision = "0034"

NO_LIKES = sa.text(
    "insert into projection_state (name, fingerprint) select 'likes', '464dbabcba152177'"
    " where exists (select 1 from stored_event)"
)
"""The read model is current: a log of an older version has no likes."""


def upgrade() -> None:
    op.create_table(
        "likes",
        sa.Column("like_id", Position, autoincrement=False, nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("bucket", sa.SmallInteger()),
        sa.Column("track_id", Position),
        sa.Column("track_uri", sa.Text(), nullable=False),
        sa.Column("track_cid", sa.Text()),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("deleted_at", UtcDateTime),
        sa.Column("collection", sa.Text(), nullable=False),
        sa.Column("rkey", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("like_id", name=op.f("pk_likes")),
    )
    op.create_index("ix_likes_did_track_id", "likes", ["did", "track_id"])
    op.create_index("ix_likes_did_like_id", "likes", ["did", "like_id"])
    op.create_table(
        "reaction",
        sa.Column("track_id", Position, autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject_id", Position, autoincrement=False, nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("bucket", sa.SmallInteger()),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("track_id", "kind", "subject_id", name=op.f("pk_reaction")),
    )
    op.create_table(
        "track_count",
        sa.Column("track_id", Position, autoincrement=False, nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("bucket", sa.SmallInteger()),
        sa.Column("likes", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("comments", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.PrimaryKeyConstraint("track_id", name=op.f("pk_track_count")),
    )
    connection = op.get_bind()
    connection.execute(NO_LIKES)
    if connection.dialect.name == "postgresql":
        for table in ("likes", "reaction", "track_count"):
            add_bucket_to_keys(connection, table)
