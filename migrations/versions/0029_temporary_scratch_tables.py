"""A rebuild fills temporary tables of its own connection."""

from alembic import op

revision = "0029"
down_revision = "0028"

TABLES = (
    "tracks",
    "track_tags",
    "history",
    "media_references",
    "mirror_target",
    "blob_job",
    "public_audio",
    "taken_down_bytes",
    "aggregate_snapshot",
)


def upgrade() -> None:
    for table in TABLES:
        op.drop_table(f"{table}_scratch")
