"""When the record of an outsider was last read, and which comments operators take down. All are read again, in their turn."""

import sqlalchemy as sa
from alembic import op

from eventstore.sql.schema import UtcDateTime

revision = "0044"
down_revision = "0043"


def upgrade() -> None:
    past = sa.text("'1970-01-01 00:00:00.000000'")
    for column in (
        sa.Column("read_at", UtcDateTime(), nullable=False, server_default=past),
        sa.Column("taken_down_at", UtcDateTime()),
        sa.Column("takedown_reason", sa.Text()),
    ):
        op.add_column("outsider_reaction", column)
    op.create_index("ix_outsider_reaction_host", "outsider_reaction", ["host", "read_at"])
