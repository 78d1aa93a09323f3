"""Comments, and whether people may make them. No comment is in the log yet, so that both read models count as built."""

import sqlalchemy as sa
from alembic import op

from eventstore.sql.schema import Position, UtcDateTime
from eventstore.streams.buckets import add_bucket_to_keys

revision = "0040"
down_revision = "0039"

FINGERPRINTS = {"comments": "7b3ac433ff120ab8", "hidden_comment": "93b89ce9dd5325a3"}


def upgrade() -> None:
    op.create_table(
        "comments",
        sa.Column("comment_id", Position, autoincrement=False, nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("bucket", sa.SmallInteger()),
        sa.Column("track_id", Position),
        sa.Column("track_uri", sa.Text(), nullable=False),
        sa.Column("track_cid", sa.Text()),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("deleted_at", UtcDateTime()),
        sa.Column("collection", sa.Text(), nullable=False),
        sa.Column("rkey", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("timestamp_ms", sa.Integer(), nullable=False),
        sa.Column("edited_at", UtcDateTime()),
        sa.Column("taken_down_at", UtcDateTime()),
        sa.Column("takedown_reason", sa.Text()),
        sa.Column("visible_version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("comment_id", name=op.f("pk_comments")),
    )
    op.create_index("ix_comments_did_track_id", "comments", ["did", "track_id"])
    op.create_index("ix_comments_track_id_comment_id", "comments", ["track_id", "comment_id"])
    op.create_table(
        "hidden_comment",
        sa.Column("track_id", Position, autoincrement=False, nullable=False),
        sa.Column("comment_id", Position, autoincrement=False, nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("bucket", sa.SmallInteger()),
        sa.PrimaryKeyConstraint("track_id", "comment_id", name=op.f("pk_hidden_comment")),
    )
    op.add_column("tracks", sa.Column("comments", sa.Boolean()))
    op.add_column(
        "account", sa.Column("comments", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )
    connection = op.get_bind()
    built_before = (
        "update projection_state set fingerprint = 'ab23e55db000db84' where fingerprint = 'd34522e2e00b62ad'"
    )
    connection.execute(sa.text(built_before))  # no track says anything of comments yet
    connection.execute(
        sa.text(
            "update job set subject = 'like/' || subject where kind = 'reaction' and subject like '%/%' and subject not like '%/%/%'"
        )
    )
    for name, fingerprint in FINGERPRINTS.items():
        built = sa.text(
            "insert into projection_state (name, fingerprint) select :name, :fingerprint"
            " where exists (select 1 from stored_event)"
        )
        connection.execute(built, {"name": name, "fingerprint": fingerprint})
        if connection.dialect.name == "postgresql":
            add_bucket_to_keys(connection, name)
