"""The kind of each row of history: those from before are of tracks, until a rebuild, which tells those of accounts."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"


def upgrade() -> None:
    tracks = sa.text("'track'")
    op.add_column("history", sa.Column("kind", sa.Text(), nullable=False, server_default=tracks))
    op.execute("DELETE FROM history_scratch")
    recreate = "always" if op.get_bind().dialect.name == "sqlite" else "never"
    with op.batch_alter_table("history_scratch", recreate=recreate) as scratch:
        scratch.add_column(sa.Column("kind", sa.Text(), nullable=False))
