"""The newest revision that an account's PDS has acknowledged, and how many acknowledged writes of a host were not there. None is known yet."""

import sqlalchemy as sa
from alembic import op

revision = "0055"
down_revision = "0054"


def upgrade() -> None:
    op.add_column("mirror_lane", sa.Column("acked_rev", sa.Text))
    op.add_column(
        "pds_host",
        sa.Column("refuted_writes", sa.Integer, nullable=False, server_default=sa.text("0")),
    )
