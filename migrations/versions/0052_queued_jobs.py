"""Jobs that have come due are queued, and the turns of their accounts ready. The first claims queue all that wait."""

import sqlalchemy as sa
from alembic import op

revision = "0052"
down_revision = "0050"


def upgrade() -> None:
    op.add_column("job", sa.Column("queued", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("job_turn", sa.Column("ready", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("job_turn", sa.Column("rank", sa.Integer(), nullable=False, server_default=sa.text("0")))
    op.drop_index("ix_job_waiting", "job")
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    is_queued, is_not, is_ready = (
        ("queued = 1", "queued = 0", "ready = 1") if is_sqlite else ("queued", "NOT queued", "ready")
    )
    for name, table, columns, condition in (
        ("ix_job_queued", "job", ["kind", "account", "due", "id"], f"state = 'waiting' AND {is_queued}"),
        ("ix_job_unqueued", "job", ["kind", "due", "id"], f"state = 'waiting' AND {is_not}"),
        ("ix_job_turn_ready", "job_turn", ["kind", "rank", "served_at", "account"], is_ready),
    ):
        where = sa.text(condition)
        op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
