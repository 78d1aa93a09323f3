"""Followers of an account's records in their order, so that a job goes on from a key."""

from alembic import op

revision = "0042"
down_revision = "0041"


def upgrade() -> None:
    op.drop_index("ix_list_follower_did", "list_follower")
    place = ["did"] if op.get_bind().dialect.name == "sqlite" else ["did", "bucket"]
    op.create_index("ix_list_follower_did_uri", "list_follower", [*place, "uri", "list_id"])
