"""Uploads are made under jobs, one for each account that has some; their rows say what is known of the uploads alone."""

from alembic import op

revision = "0025"
down_revision = "0024"


def upgrade() -> None:
    """What is open gets its account's job when a relay next looks; those that upload the longest ago go first."""
    op.execute(
        "insert into job_turn (kind, account, served_at)"
        " select 'upload', did, last_upload_at from mirror_lane"
        " where did in (select did from blob_job where requested or again)"
    )
    op.drop_index("ix_blob_job_leased", "blob_job")
    for name in ("lease_owner", "lease_until", "lease_epoch"):
        op.drop_column("blob_job", name)
    op.drop_column("mirror_lane", "last_upload_at")
