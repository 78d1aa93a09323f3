"""Each row of an account has its bucket, which service/schema/buckets.py fills before the next revision, beside live traffic."""

import sqlalchemy as sa
from alembic import op

from service.schema.buckets import TABLES

revision = "0033"
down_revision = "0032"


def upgrade() -> None:
    for table in TABLES:
        op.add_column(table, sa.Column("bucket", sa.SmallInteger()))
    op.create_table(
        "account_bucket",
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("bucket", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("did", name=op.f("pk_account_bucket")),
    )
