"""The files of exports. No account has one yet."""

import sqlalchemy as sa
from alembic import op

from eventstore.streams.buckets import add_bucket_to_keys

revision = "0045"
down_revision = "0044"


def upgrade() -> None:
    op.create_table(
        "export_file",
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("bucket", sa.SmallInteger()),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("cid", sa.Text()),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("crc32", sa.BigInteger()),
        sa.Column("missing", sa.Text()),
        sa.PrimaryKeyConstraint("did", "number", name=op.f("pk_export_file")),
    )
    op.create_index("ix_export_file_cid", "export_file", ["cid"])
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        add_bucket_to_keys(connection, "export_file")
