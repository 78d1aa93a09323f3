"""Albums and playlists, and what they refer to. No list is in the log yet, so that both read models count as built.

A job makes albums of the album texts that tracks have.
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

from eventstore.sql.schema import Position, UtcDateTime
from eventstore.streams.buckets import add_bucket_to_keys, bucket_of

revision = "0038"
down_revision = "0037"

FINGERPRINTS = {"track_list": "320a78ccb7cf5be5", "list_item": "765d24ae05770fc7"}
BUILT = sa.text(
    "insert into projection_state (name, fingerprint) select :name, :fingerprint"
    " where exists (select 1 from stored_event)"
)
PAST = datetime(1970, 1, 1, tzinfo=UTC)
TEXTS = ("kind", "subject", "account", "actor", "via", "request_id")
TIMES = ("due", "requested_at")
JOB = sa.table(
    "job",
    sa.column("bucket", sa.SmallInteger),
    *(sa.column(each, sa.Text) for each in TEXTS),
    *(sa.column(each, UtcDateTime) for each in TIMES),
)
JOB_TURN = sa.table(
    "job_turn",
    sa.column("bucket", sa.SmallInteger),
    sa.column("kind", sa.Text),
    sa.column("account", sa.Text),
    sa.column("served_at", UtcDateTime),
)
ROWS = 1000
"""Of all accounts, so many at a time."""
IS_LIVE_ALBUM = "deleted_at IS NULL AND list_type = 'album'"


def upgrade() -> None:
    op.create_table(
        "track_list",
        sa.Column("list_id", Position, autoincrement=False, nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("bucket", sa.SmallInteger()),
        sa.Column("list_type", sa.Text(), nullable=False),
        sa.Column("name", sa.Text()),
        sa.Column("first_name", sa.Text()),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("release_date", sa.Text()),
        sa.Column("artwork_cid", sa.Text()),
        sa.Column("artwork_mime", sa.Text()),
        sa.Column("artwork_size", sa.BigInteger()),
        sa.Column("artwork_thumbnail_cid", sa.Text()),
        sa.Column("visibility", sa.Text(), nullable=False),
        sa.Column("follow", sa.Boolean(), nullable=False),
        sa.Column("record_requested", sa.Boolean(), nullable=False),
        sa.Column("track_count", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Text(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("deleted_at", UtcDateTime()),
        sa.Column("record_missing_since", UtcDateTime()),
        sa.Column("collection", sa.Text(), nullable=False),
        sa.Column("rkey", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("visible_version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("list_id", name=op.f("pk_track_list")),
        sa.UniqueConstraint("did", "collection", "rkey", name=op.f("uq_track_list_did")),
    )
    where = {"sqlite_where": sa.text(IS_LIVE_ALBUM), "postgresql_where": sa.text(IS_LIVE_ALBUM)}
    op.create_index("uq_track_list_did_name", "track_list", ["did", "name"], unique=True, **where)
    of_account = (["did", each] for each in ("list_id", "first_name", "slug"))
    for columns in (*of_account, ["artwork_cid"], ["artwork_thumbnail_cid"]):
        op.create_index(f"ix_track_list_{'_'.join(columns)}", "track_list", columns)
    op.create_table(
        "list_item",
        sa.Column("list_id", Position, autoincrement=False, nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("did", sa.Text(), nullable=False),
        sa.Column("bucket", sa.SmallInteger()),
        sa.Column("cid", sa.Text()),
        sa.Column("written", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("list_id", "uri", name=op.f("pk_list_item")),
    )
    op.create_index("ix_list_item_did_uri", "list_item", ["did", "uri"])
    if op.get_bind().dialect.name == "postgresql":
        for table in ("track_list", "list_item"):
            add_bucket_to_keys(op.get_bind(), table)
    for name, fingerprint in FINGERPRINTS.items():
        op.get_bind().execute(BUILT, {"name": name, "fingerprint": fingerprint})
    with_texts = "select distinct did from tracks where album is not null and deleted_at is null"
    now, kind = datetime.now(UTC), "album_texts"
    job = {"kind": kind, "due": PAST, "requested_at": now, "via": "job", "request_id": kind}
    turn = {"kind": kind, "served_at": now}
    found = op.get_bind().execute(sa.text(with_texts), execution_options={"yield_per": ROWS}).scalars()
    for dids in found.partitions():
        places = [{"account": did, "bucket": bucket_of(did)} for did in dids]
        op.bulk_insert(
            JOB, [{**job, **each, "subject": each["account"], "actor": each["account"]} for each in places]
        )
        op.bulk_insert(JOB_TURN, [{**turn, **each} for each in places])
