"""The kind of each record: those from before are of tracks."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
INDEX = "uq_mirror_target_track_id"


def upgrade() -> None:
    """A subject's id is unique among its kind. What a rebuild had written is not needed: it begins again."""
    tracks = sa.text("'track'")
    op.add_column("mirror_target", sa.Column("kind", sa.Text(), nullable=False, server_default=tracks))
    op.execute("DELETE FROM mirror_target_scratch")
    is_sqlite = op.get_bind().dialect.name == "sqlite"  # which adds no column without a default
    recreate = "always" if is_sqlite else "never"
    with op.batch_alter_table("mirror_target_scratch", recreate=recreate) as scratch:
        scratch.add_column(sa.Column("kind", sa.Text(), nullable=False))
    op.drop_index(INDEX, "mirror_target")
    op.create_index(
        INDEX,
        "mirror_target",
        ["track_id", "kind"],
        unique=True,
        sqlite_where=sa.text("former = 0"),
        postgresql_where=sa.text("NOT former"),
    )
