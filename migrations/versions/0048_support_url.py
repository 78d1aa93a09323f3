"""Where people support an artist."""

import sqlalchemy as sa
from alembic import op

revision = "0048"
down_revision = "0047"


def upgrade() -> None:
    op.add_column("account", sa.Column("support_url", sa.Text))
