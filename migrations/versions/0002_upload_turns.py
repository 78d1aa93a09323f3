"""Accounts take turns with their uploads, which are counted for all processes together."""

import sqlalchemy as sa
from alembic import op

from eventstore.sql.schema import UtcDateTime

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add when each account last had its turn, and an index of the uploads that are under way."""
    op.add_column(
        "mirror_lane",
        sa.Column(
            "last_upload_at",
            UtcDateTime(),
            server_default=sa.text("'1970-01-01 00:00:00.000000'"),
            nullable=False,
        ),
    )
    is_leased = sa.text("lease_until > '1970-01-01 00:00:00.000000'")
    op.create_index(
        "ix_blob_job_leased", "blob_job", ["did"], sqlite_where=is_leased, postgresql_where=is_leased
    )
