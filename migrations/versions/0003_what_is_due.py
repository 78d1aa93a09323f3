"""Indexes of what a relay looks for many times a second: lanes with work, lanes under way, uploads still to be made."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    never = "'9999-01-01 00:00:00.000000'"
    has_work = sa.text(f"state = 'ready' AND (due_at < {never} OR backfill_at < {never})")
    op.create_index(
        "ix_mirror_lane_work",
        "mirror_lane",
        ["host", "due_at"],
        sqlite_where=has_work,
        postgresql_where=has_work,
    )
    leased = sa.text("lease_until > '1970-01-01 00:00:00.000000'")
    op.create_index(
        "ix_mirror_lane_leased", "mirror_lane", ["host"], sqlite_where=leased, postgresql_where=leased
    )
    op.create_index(
        "ix_blob_job_open",
        "blob_job",
        ["not_before"],
        sqlite_where=sa.text("requested = 1 OR again = 1"),
        postgresql_where=sa.text("requested OR again"),
    )
