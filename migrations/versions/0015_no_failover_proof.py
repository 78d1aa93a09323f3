"""After a promotion an operator says that nothing was lost; no process proves it any more."""

from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    """Drop what the proof kept, which no released version had."""
    op.drop_table("acknowledging_process")
    op.drop_column("log_incarnation", "is_promotion")
