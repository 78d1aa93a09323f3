"""What an account that leaves is to have of a record that other clients made. None is leaving so yet."""

import sqlalchemy as sa
from alembic import op

revision = "0054"
down_revision = "0053"


def upgrade() -> None:
    op.add_column("mirror_target", sa.Column("removal", sa.Text))
