"""Since when an operator hides an album, a playlist or a profile. None is hidden yet."""

import sqlalchemy as sa
from alembic import op

from eventstore.sql.schema import UtcDateTime

revision = "0050"
down_revision = "0049"


def upgrade() -> None:
    for table in ("track_list", "profiles"):
        op.add_column(table, sa.Column("taken_down_at", UtcDateTime))
