"""Releases, and uploads to them that go on where they broke. No release is in the log yet, so that the read model counts as built."""

import sqlalchemy as sa
from alembic import op

from eventstore.sql.schema import Json, Position, UtcDateTime
from eventstore.streams.buckets import add_bucket_to_keys

revision = "0049"
down_revision = "0048"

NO_RELEASES = sa.text(
    "insert into projection_state (name, fingerprint) select 'releases', '58fe65805af6c4d7'"
    " where exists (select 1 from stored_event)"
)


def upgrade() -> None:
    op.create_table(
        "releases",
        sa.Column("release_id", Position, autoincrement=False, nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("bucket", sa.SmallInteger()),
        sa.Column("title", sa.Text()),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("publish_at", UtcDateTime()),
        sa.Column("preview_hash", sa.Text()),
        sa.Column("file_count", sa.Integer(), nullable=False),
        sa.Column("visible_version", sa.Integer(), nullable=False),
        sa.Column("changed_at", UtcDateTime(), nullable=False),
        sa.Column("deleted_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("release_id", name=op.f("pk_releases")),
    )
    op.create_index("ix_releases_did_release_id", "releases", ["did", "release_id"])
    for column, where in (
        ("changed_at", "deleted_at IS NULL"),
        ("publish_at", "state = 'scheduled'"),
        ("preview_hash", "preview_hash IS NOT NULL"),
    ):
        condition = sa.text(where)
        name = f"ix_releases_{column}"
        op.create_index(name, "releases", [column], sqlite_where=condition, postgresql_where=condition)
    op.create_table(
        "release_upload",
        sa.Column("upload_id", sa.Text(), nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("bucket", sa.SmallInteger()),
        sa.Column("release_id", Position, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("length", sa.BigInteger()),
        sa.Column("received", sa.BigInteger(), nullable=False),
        sa.Column("parts", Json, nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("begun_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("upload_id", name=op.f("pk_release_upload")),
    )
    op.create_index("ix_release_upload_did_release_id", "release_upload", ["did", "release_id"])
    connection = op.get_bind()
    connection.execute(NO_RELEASES)
    if connection.dialect.name == "postgresql":
        for table in ("releases", "release_upload"):
            add_bucket_to_keys(connection, table)
