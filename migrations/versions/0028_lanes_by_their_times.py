"""Indexes of the lanes with live work and with backfill, in the order in which they are due; and of a host's lanes by name."""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"


def upgrade() -> None:
    latest = "max" if op.get_bind().dialect.name == "sqlite" else "greatest"
    never = "'9999-01-01 00:00:00.000000'"
    for name, due, others in (
        ("live", "due_at", "debounced_until, not_before, paced_until"),
        ("backfill", "backfill_at", "backfill_after, not_before, paced_until"),
    ):
        which = sa.text(f"state = 'ready' AND NOT paused AND {due} < {never}")
        if latest == "max":
            which = sa.text(f"state = 'ready' AND paused = 0 AND {due} < {never}")
        op.create_index(
            f"ix_mirror_lane_{name}",
            "mirror_lane",
            ["host", sa.text(f"({latest}({due}, {others}))"), "did"],
            sqlite_where=which,
            postgresql_where=which,
        )
    op.create_index("ix_mirror_lane_host", "mirror_lane", ["host", "did"])
    for name in ("work", "due"):
        op.drop_index(f"ix_mirror_lane_{name}", "mirror_lane")
