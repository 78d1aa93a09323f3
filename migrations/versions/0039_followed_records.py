"""Which lists of other accounts follow the records of an account. No release has had lists: there are none to enter."""

import sqlalchemy as sa
from alembic import op

from eventstore.sql.schema import Position
from eventstore.streams.buckets import add_bucket_to_keys

revision = "0039"
down_revision = "0038"


def upgrade() -> None:
    op.create_table(
        "list_follower",
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("list_id", Position, autoincrement=False, nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("bucket", sa.SmallInteger()),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("cid", sa.Text()),
        sa.PrimaryKeyConstraint("uri", "list_id", name=op.f("pk_list_follower")),
    )
    op.create_index("ix_list_follower_did", "list_follower", ["did"])
    if op.get_bind().dialect.name == "postgresql":
        add_bucket_to_keys(op.get_bind(), "list_follower")
