"""Jobs that have come due are queued, the turns of their accounts ready, and uploads found once. The first looks find all that wait."""

import sqlalchemy as sa
from alembic import op

from eventstore.sql.schema import UtcDateTime

revision = "0052"
down_revision = "0051"


def upgrade() -> None:
    op.add_column("job", sa.Column("queued", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("job_turn", sa.Column("ready", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("job_turn", sa.Column("rank", sa.Integer(), nullable=False, server_default=sa.text("0")))
    past = sa.text("'1970-01-01 00:00:00.000000'")
    op.add_column("blob_job", sa.Column("queue_at", UtcDateTime, nullable=False, server_default=past))
    op.drop_index("ix_job_waiting", "job")
    op.drop_index("ix_blob_job_open", "blob_job")
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    yes, is_unqueued = (" = 1", "queued = 0") if is_sqlite else ("", "NOT queued")
    for name, table, columns, condition in (
        ("ix_job_queued", "job", ["kind", "account", "due", "id"], f"state = 'waiting' AND queued{yes}"),
        ("ix_job_unqueued", "job", ["kind", "due", "id"], f"state = 'waiting' AND {is_unqueued}"),
        ("ix_job_turn_ready", "job_turn", ["kind", "rank", "served_at", "account"], f"ready{yes}"),
        ("ix_blob_job_open", "blob_job", ["backfill", "queue_at"], f"requested{yes} OR again{yes}"),
    ):
        where = sa.text(condition)
        op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
