"""Jobs say with which error they began to fail."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"


def upgrade() -> None:
    """What fails already has its last error alone."""
    op.add_column("job", sa.Column("first_error", sa.Text))
    op.execute("update job set first_error = problem")
