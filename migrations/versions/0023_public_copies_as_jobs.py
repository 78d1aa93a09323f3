"""Public copies are made and removed by jobs; their rows say what is known of the copies alone."""

from alembic import op

revision = "0023"
down_revision = "0022"


def upgrade() -> None:
    """What was open gets a job, which finds out what is wanted."""
    op.execute(
        "insert into job (kind, subject, account, due, actor, via, request_id, requested_at)"
        " select 'remove_copy', name, name, not_before, '', 'job', '', not_before from public_copy"
        " where changes <> seen or state = 'uncertain'"
    )
    op.execute(
        "insert into job_turn (kind, account, served_at) select kind, account, due from job where kind = 'remove_copy'"
    )
    op.drop_index("ix_public_copy_open", "public_copy")
    for name in ("changes", "seen", "attempts", "not_before", "last_error", "lease_until", "lease_epoch"):
        op.drop_column("public_copy", name)
