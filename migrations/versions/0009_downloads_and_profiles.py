"""Who may download a track's audio, and the name and the bio that an account's owner has set."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Tracks from before have none, which is open."""
    for table in ("tracks", "tracks_scratch"):
        op.add_column(table, sa.Column("downloads", sa.Text()))
    op.add_column("account", sa.Column("chosen_name", sa.Text()))
    op.add_column("account", sa.Column("bio", sa.Text()))
