"""How background work goes: the last run of each job, the progress of a rebuild, and the state of each firehose."""

import sqlalchemy as sa
from alembic import op

from eventstore.sql.schema import Position, UtcDateTime

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Of the runs from before, nothing is known."""
    for name, kind in (
        ("work", sa.Text()),
        ("read_models", sa.Text()),
        ("position", Position),
        ("head", Position),
        ("began_at", UtcDateTime()),
        ("moved_at", UtcDateTime()),
    ):
        op.add_column("projection_state", sa.Column(name, kind))
    for name, kind in (
        ("began_at", UtcDateTime()),
        ("ended_at", UtcDateTime()),
        ("problem", sa.Text()),
        ("failing_since", UtcDateTime()),
    ):
        op.add_column("job_lease", sa.Column(name, kind))
    for name, kind in (("connected_at", UtcDateTime()), ("lag_seconds", sa.Float()), ("problem", sa.Text())):
        op.add_column("firehose_cursor", sa.Column(name, kind))
    for index, table, column, condition in (
        ("ix_blob_job_failing", "blob_job", "cause", "failing_since IS NOT NULL"),
        ("ix_adoption_at_work", "adoption", "requested_at", "ended_at IS NULL OR problem IS NOT NULL"),
        ("ix_derived_job_failed", "derived_job", "kind", "state = 'failed'"),
    ):
        where = sa.text(condition)
        op.create_index(index, table, [column], sqlite_where=where, postgresql_where=where)
