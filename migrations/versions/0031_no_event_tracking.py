"""No table of positions that nothing has ever used."""

from alembic import op

revision = "0031"
down_revision = "0030"


def upgrade() -> None:
    """It is empty."""
    op.drop_table("event_tracking")
