"""Every row of an account has its bucket; on PostgreSQL each unique key of its table has it, too, as partitions need it."""

import sqlalchemy as sa
from alembic import op

from eventstore.sql.schema import Position
from eventstore.streams.buckets import add_bucket_to_keys
from service.schema.buckets import TABLES, fill_rest

revision = "0034"
down_revision = "0033"

FINGERPRINTS = {
    "71cd5d4a274e2476": "d34522e2e00b62ad",
    "e20ff795081375bf": "7fb2441415b94712",
    "19f0a788aa2f5f59": "1b88b56126655fa8",
    "db13aafec2c84a31": "94274c12d82036a4",
    "snapshots-1": "snapshots-2",
}
"""Of read models before and after: their rows are what a rebuild would make."""


def upgrade() -> None:
    """Snapshots are a cache, which is filled again; no reference has to say that the tags of a track go with it."""
    connection = op.get_bind()
    fill_rest(connection)
    op.drop_table("account_bucket")
    op.drop_table("aggregate_snapshot")
    op.create_table(
        "aggregate_snapshot",
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("bucket", sa.SmallInteger()),
        sa.Column("originator_id", sa.Text(), nullable=False),
        sa.Column("originator_version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("position", Position, nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("state", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("originator_id", "originator_version", name=op.f("pk_aggregate_snapshot")),
    )
    with op.batch_alter_table("track_tags") as batch:
        batch.drop_constraint("fk_track_tags_track_id_tracks", type_="foreignkey")
    if connection.dialect.name == "postgresql":
        for table in ("aggregate_snapshot", *TABLES):
            add_bucket_to_keys(connection, table)
    made_by = sa.text("update projection_state set fingerprint = :after where fingerprint = :before")
    for before, after in FINGERPRINTS.items():
        connection.execute(made_by, {"before": before, "after": after})
