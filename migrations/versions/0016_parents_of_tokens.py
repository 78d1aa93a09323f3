"""The token that made a token, with which it ends."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Of tokens from before, none is known."""
    op.add_column("credential", sa.Column("parent", sa.Text()))
