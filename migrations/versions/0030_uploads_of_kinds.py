"""The kind of what each upload, and the newest failure of each cause, is of: those from before are of tracks."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"


def upgrade() -> None:
    """A subject's id is unique among its kind."""
    tracks = sa.text("'track'")
    with op.batch_alter_table("blob_job") as batch:
        batch.drop_constraint("pk_blob_job", type_="primary")
        batch.add_column(sa.Column("kind", sa.Text(), nullable=False, server_default=tracks))
        batch.create_primary_key("pk_blob_job", ["did", "kind", "track_id"])
    op.add_column("failure_cause", sa.Column("sample_kind", sa.Text()))
    op.execute("UPDATE failure_cause SET sample_kind = 'track' WHERE sample_track_id IS NOT NULL")
