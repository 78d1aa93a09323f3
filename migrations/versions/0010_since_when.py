"""Since when hosts, accounts, records and uploads fail, when each last succeeded, and the causes of failures."""

import sqlalchemy as sa
from alembic import op

from eventstore.sql.schema import Position, UtcDateTime

revision = "0010"
down_revision = "0009"

FAILING = ("pds_host", "mirror_lane", "mirror_target", "blob_job")


def upgrade() -> None:
    """Records that fail already do since the first attempt of their newest generation; of others the next failure says."""
    for table in FAILING:
        op.add_column(table, sa.Column("failing_since", UtcDateTime()))
        op.add_column(table, sa.Column("first_error", sa.Text()))
    op.add_column("mirror_lane", sa.Column("last_success_at", UtcDateTime()))
    for table in ("mirror_target", "blob_job"):
        op.add_column(table, sa.Column("cause", sa.Text()))
    op.create_table(
        "failure_cause",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("phase", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer()),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("first_seen_at", UtcDateTime(), nullable=False),
        sa.Column("last_seen_at", UtcDateTime(), nullable=False),
        sa.Column("failures", Position, nullable=False),
        sa.Column("sample_did", sa.Text()),
        sa.Column("sample_track_id", Position),
        sa.Column("sample_error", sa.Text()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_failure_cause")),
    )
    op.create_index("ix_failure_cause_last_seen_at", "failure_cause", ["last_seen_at"])
    op.create_index("ix_failure_cause_host", "failure_cause", ["host", "last_seen_at"])
    op.create_table(
        "failure_hour",
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("hour", UtcDateTime(), nullable=False),
        sa.Column("failures", Position, nullable=False),
        sa.PrimaryKeyConstraint("cause", "hour", name=op.f("pk_failure_hour")),
    )
    op.execute(
        "update mirror_target set first_error = last_error, failing_since = ("
        "select min(started_at) from delivery_attempt a where a.did = mirror_target.did"
        " and a.collection = mirror_target.collection and a.rkey = mirror_target.rkey"
        " and a.gen = mirror_target.failed_gen)"
        " where state in ('rejected', 'backoff') and desired_gen > acked_gen"
    )
