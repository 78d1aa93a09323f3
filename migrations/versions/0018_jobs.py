"""One table of jobs, instead of tables of adoptions, of work on derived media, and of the leases of repairs."""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import sqlalchemy as sa
from alembic import op

from eventstore.sql.schema import Json, Position, UtcDateTime

revision = "0018"
down_revision = "0017"

PAST = sa.text("'1970-01-01 00:00:00.000000'")
COUNTED = ("found", "known", "adopted", "refused", "problems")
ENVELOPE = ("actor", "via", "request_id")
NO_ENVELOPE = {"actor": "", "via": "job", "request_id": ""}
ROWS_AT_ONCE = 1000


def upgrade() -> None:
    """Keep what waits, is done or has failed. Work that was under way is claimed again."""
    job = create()
    adoption, repair = (_table(name, "requested_at", "ended_at") for name in ("adoption", "repair"))
    derived = _table("derived_job")
    lane = sa.table("mirror_lane", sa.column("did"), sa.column("host"))
    host = sa.func.coalesce(lane.c.host, "").label("host")
    adoptions = sa.select(adoption, host).outerjoin(lane, lane.c.did == adoption.c.did)
    _insert(job, (_adoption(row) for row in _rows(adoptions)))
    _insert(job, (_derived(row) for row in _rows(sa.select(derived))))
    working = repair.c.state.in_(["verifying", "applying"])
    _insert(job, (_repair(row) for row in _rows(sa.select(repair).where(working))))
    op.execute(
        "insert into job_turn (kind, account, served_at)"
        " select kind, account, min(due) from job where state = 'waiting' group by kind, account"
    )
    op.drop_table("adoption")
    op.drop_table("derived_job")
    for name in ("not_before", "attempts", "lease_owner", "lease_until", "lease_epoch"):
        op.drop_column("repair", name)


def create() -> sa.Table:
    job = op.create_table(
        "job",
        sa.Column("id", Position, nullable=False, autoincrement=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False, server_default=sa.text("''")),
        sa.Column("host", sa.Text(), nullable=False, server_default=sa.text("''")),
        sa.Column("state", sa.Text(), nullable=False, server_default=sa.text("'waiting'")),
        sa.Column("due", UtcDateTime(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("problem", sa.Text()),
        sa.Column("failing_since", UtcDateTime()),
        sa.Column("progress", Json),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("via", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("requested_at", UtcDateTime(), nullable=False),
        sa.Column("ended_at", UtcDateTime()),
        sa.Column("lease_owner", sa.Text()),
        sa.Column("lease_until", UtcDateTime(), nullable=False, server_default=PAST),
        sa.Column("lease_epoch", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
        sa.UniqueConstraint("kind", "subject", name=op.f("uq_job_kind")),
        sqlite_autoincrement=True,
    )
    waiting, leased = sa.text("state = 'waiting'"), sa.text("lease_owner IS NOT NULL")
    columns = ["kind", "account", "due"]
    op.create_index("ix_job_waiting", "job", columns, sqlite_where=waiting, postgresql_where=waiting)
    op.create_index("ix_job_leased", "job", ["kind"], sqlite_where=leased, postgresql_where=leased)
    op.create_index("ix_job_state", "job", ["kind", "state", "requested_at"])
    op.create_index("ix_job_account", "job", ["account"])
    op.create_table(
        "job_turn",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("served_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "account", name=op.f("pk_job_turn")),
    )
    op.create_index("ix_job_turn_served", "job_turn", ["kind", "served_at", "account"])
    return job


def _adoption(row: Any) -> dict[str, Any]:
    states = {(True, True): "done", (True, False): "failed"}
    ended, well = row.ended_at is not None, row.problem is None
    return {
        **{
            name: getattr(row, name)
            for name in (*ENVELOPE, "requested_at", "ended_at", "attempts", "problem")
        },
        "kind": "adoption",
        "subject": row.did,
        "account": row.did,
        "host": row.host,
        "state": states.get((ended, well), "waiting"),
        "due": row.not_before,
        "progress": {name: getattr(row, name) for name in COUNTED},
    }


def _derived(row: Any) -> dict[str, Any]:
    return {
        **NO_ENVELOPE,
        "kind": row.kind,
        "subject": row.source,
        "account": "",
        "host": row.host,
        "state": row.state,
        "due": row.not_before,
        "attempts": row.attempts,
        "problem": row.problem,
        "requested_at": row.not_before,
        "ended_at": row.not_before if row.state == "failed" else None,
        "progress": None,
    }


def _repair(row: Any) -> dict[str, Any]:
    return {
        **{name: getattr(row, name) for name in (*ENVELOPE, "requested_at", "attempts", "problem")},
        "kind": "repair",
        "subject": row.did,
        "account": row.did,
        "host": "",
        "state": "waiting",
        "due": row.not_before,
        "ended_at": None,
        "progress": None,
    }


def _table(name: str, *times: str) -> sa.Table:
    columns = [sa.Column(each, UtcDateTime()) for each in ("not_before", *times)]
    return sa.Table(name, sa.MetaData(), *columns, autoload_with=op.get_bind(), resolve_fks=False)


def _rows(query: sa.Select[Any]) -> Iterator[Any]:
    yield from op.get_bind().execute(query)


def _insert(job: sa.Table, rows: Iterator[dict[str, Any]]) -> None:
    while page := list(islice(rows, ROWS_AT_ONCE)):
        op.bulk_insert(job, page)
