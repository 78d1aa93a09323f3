"""Until when a lane that has just run leaves time for more edits."""

import sqlalchemy as sa
from alembic import op

from eventstore.sql.schema import UtcDateTime

revision = "0026"
down_revision = "0025"


def upgrade() -> None:
    past = sa.text("'1970-01-01 00:00:00.000000'")
    column = sa.Column("debounced_until", UtcDateTime(), nullable=False, server_default=past)
    op.add_column("mirror_lane", column)
