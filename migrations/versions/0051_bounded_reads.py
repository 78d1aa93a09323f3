"""Indexes of what strangers read: tracks by album, the most liked, the newest likes, and which tracks of an artist others do not see."""

import sqlalchemy as sa
from alembic import op

revision = "0051"
down_revision = "0050"

URI = "'at://' || did || '/' || collection || '/' || rkey"


def upgrade() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    place = ["did"] if is_sqlite else ["did", "bucket"]
    unseen = f"deleted_at IS NOT NULL OR unlisted IS {'1' if is_sqlite else 'true'}"
    _create("ix_tracks_unseen", "tracks", [*place, sa.text(f"({URI})")], unseen)
    _create("ix_tracks_album", "tracks", ["album", "track_id"], "album IS NOT NULL")
    _create("ix_track_count_likes", "track_count", ["likes", "track_id"], "likes > 0")
    op.create_index("ix_reaction_kind_created_at", "reaction", ["kind", "created_at"])


def _create(name: str, table: str, columns: list[str | sa.TextClause], where: str) -> None:
    op.create_index(name, table, columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))
