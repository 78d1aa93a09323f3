"""The trace of the commit that a record is delivered for."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    """Records from before have none."""
    op.add_column("mirror_target", sa.Column("trace", sa.Text()))
