"""How loud audio is; a job measures it of what was decoded before, too."""

import sqlalchemy as sa
from alembic import op

revision = "0047"
down_revision = "0046"


def upgrade() -> None:
    op.add_column("waveform", sa.Column("loudness", sa.Float))
