"""New ids carry the bucket of their account; those that were issued before have a directory."""

import sqlalchemy as sa
from alembic import op

from eventstore.sql.schema import Position

revision = "0032"
down_revision = "0031"

BUCKETS = 4096
SEQUENCE = "pg_get_serial_sequence('track_id_sequence', 'id')::regclass"


def upgrade() -> None:
    """Imports have made no entries of the directory: the records of the subjects do."""
    op.create_table(
        "id_boundary",
        sa.Column("first_id", Position, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("first_id", name=op.f("pk_id_boundary")),
    )
    op.execute(
        "insert into track_id_sequence (id, did) select track_id, min(did) from mirror_target where not exists"
        " (select 1 from track_id_sequence as entry where entry.id = mirror_target.track_id and entry.did <> '')"
        " group by track_id on conflict (id) do update set did = excluded.did"
    )
    newest = "(select coalesce(max(seq), 0) from sqlite_sequence where name = 'track_id_sequence')"
    if op.get_bind().dialect.name == "postgresql":
        entries = "(select max(id) from track_id_sequence)"
        newest = f"greatest({entries}, pg_sequence_last_value({SEQUENCE}), 0)"
        op.execute(f"select setval({SEQUENCE}, {newest}) where {newest} > 0")
    op.execute(f"insert into id_boundary select ({newest} + 1) * {BUCKETS} where {newest} > 0")
