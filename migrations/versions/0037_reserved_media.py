"""When a command has last reserved bytes, which the sweep then lets be, whatever has ended their grace time."""

import sqlalchemy as sa
from alembic import op

from eventstore.sql.schema import UtcDateTime

revision = "0037"
down_revision = "0036"


def upgrade() -> None:
    op.add_column("media", sa.Column("reserved_at", UtcDateTime()))
