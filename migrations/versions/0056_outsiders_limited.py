"""When a host first showed an outsider's reaction, by which it is limited, and which hosts operators do not have followed. All are followed."""

import sqlalchemy as sa
from alembic import op

from eventstore.sql.schema import UtcDateTime

revision = "0056"
down_revision = "0055"


def upgrade() -> None:
    past = sa.text("'1970-01-01 00:00:00.000000'")
    shown_at = sa.Column("shown_at", UtcDateTime(), nullable=False, server_default=past)
    op.add_column("outsider_reaction", shown_at)
    op.drop_index("ix_outsider_reaction_track_id", "outsider_reaction")
    op.create_index("ix_outsider_reaction_shown", "outsider_reaction", ["track_id", "host", "shown_at"])
    followed = sa.Column("followed", sa.Boolean(), nullable=False, server_default=sa.true())
    op.add_column("pds_host", followed)
