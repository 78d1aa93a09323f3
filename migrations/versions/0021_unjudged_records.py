"""How many records a repair could not judge."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"


def upgrade() -> None:
    """Of repairs from before, none is known."""
    op.add_column("repair", sa.Column("unjudged", sa.Integer(), nullable=False, server_default=sa.text("0")))
