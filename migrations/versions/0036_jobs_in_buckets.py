"""Jobs, the turns of accounts, and the bytes that a takedown refuses have the bucket of their account."""

import sqlalchemy as sa
from alembic import op

from eventstore.streams.buckets import add_bucket_to_keys, bucket_of

revision = "0036"
down_revision = "0035"

OWNERS = {"job": "account", "job_turn": "account", "taken_down_bytes": "did"}


def upgrade() -> None:
    """They are few, and filled at once; a rebuild would make the same rows of bytes."""
    connection = op.get_bind()
    op.add_column("taken_down_bytes", sa.Column("did", sa.Text()))
    op.execute(
        "update taken_down_bytes set did ="
        " (select did from tracks where tracks.track_id = taken_down_bytes.track_id)"
    )
    for table, owner in OWNERS.items():
        op.add_column(table, sa.Column("bucket", sa.SmallInteger()))
        owners = connection.scalars(sa.text(f"select distinct {owner} from {table}")).all()  # noqa: S608
        fill = sa.text(f"update {table} set bucket = :bucket where {owner} = :owner")  # noqa: S608
        if rows := [{"owner": each, "bucket": bucket_of(each)} for each in owners]:
            connection.execute(fill, rows)
    newest = "select seq from sqlite_sequence where name = 'job'"
    ids = None if connection.dialect.name == "postgresql" else connection.scalar(sa.text(newest))
    with op.batch_alter_table("job", table_kwargs={"sqlite_autoincrement": True}) as batch:
        batch.drop_constraint("uq_job_kind", type_="unique")
        batch.create_unique_constraint("uq_job_kind", ["kind", "subject", "account"])
    if ids is not None:  # no id is given twice
        op.execute(f"update sqlite_sequence set seq = {ids} where name = 'job'")  # noqa: S608
    with op.batch_alter_table("taken_down_bytes") as batch:
        batch.alter_column("did", nullable=False)
    if connection.dialect.name == "postgresql":
        for table, owner in OWNERS.items():
            add_bucket_to_keys(connection, table, owner)
    op.execute(
        "update projection_state set fingerprint = 'taken_down_bytes-2'"
        " where fingerprint = 'taken_down_bytes-1'"
    )
