"""What accounts say of themselves. No profile is in the log yet, so that the read model counts as built."""

import sqlalchemy as sa
from alembic import op

from eventstore.sql.schema import Position, UtcDateTime
from eventstore.streams.buckets import add_bucket_to_keys

revision = "0041"
down_revision = "0040"

NO_PROFILES = sa.text(
    "insert into projection_state (name, fingerprint) select 'profiles', 'fc695cf807fba2b6'"
    " where exists (select 1 from stored_event)"
)


def upgrade() -> None:
    op.create_table(
        "profiles",
        sa.Column("profile_id", Position, autoincrement=False, nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("bucket", sa.SmallInteger()),
        sa.Column("bio", sa.Text()),
        sa.Column("avatar_cid", sa.Text()),
        sa.Column("avatar_mime", sa.Text()),
        sa.Column("avatar_size", sa.BigInteger()),
        sa.Column("avatar_thumbnail_cid", sa.Text()),
        sa.Column("avatar_url", sa.Text()),
        sa.Column("deleted_at", UtcDateTime()),
        sa.PrimaryKeyConstraint("profile_id", name=op.f("pk_profiles")),
    )
    for column in ("did", "avatar_cid", "avatar_thumbnail_cid"):
        op.create_index(f"ix_profiles_{column}", "profiles", [column])
    connection = op.get_bind()
    connection.execute(NO_PROFILES)
    if connection.dialect.name == "postgresql":
        add_bucket_to_keys(connection, "profiles")
