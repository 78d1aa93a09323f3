"""Gives the rows of accounts that were written before revision 0033 their buckets, beside live traffic: an upgrade that ends goes on.

Old processes serve meanwhile, and write rows without: revision 0034 fills the last ones while appends wait.
"""

from collections.abc import Mapping
from typing import Any, Final

import sqlalchemy as sa

from eventstore.sql.database import Database, count_rows
from eventstore.streams.buckets import bucket_of

FROM: Final = "0033"
"""The revision of the columns, without which there is nothing to fill."""
ROWS_PER_STEP: Final = 5000
TABLES: Final[Mapping[str, str]] = {
    "stored_event": "position",
    "history": "position",
    "delivery_attempt": "id",
    "repair": "id",
    "tracks": "track_id",
    "track_tags": "track_id",
    "media_references": "track_id",
    "public_audio": "track_id",
    **dict.fromkeys(
        (
            "account",
            "pds_session",
            "credential",
            "idempotency",
            "running_request",
            "mirror_lane",
            "mirror_target",
            "blob_job",
            "repo_scan",
            "observed_account",
        ),
        "did",
    ),
}
"""With the column by whose order they are filled, which leads an index."""
_ACCOUNTS: Final = sa.table("account_bucket", sa.column("did", sa.Text), sa.column("bucket", sa.SmallInteger))
"""What PostgreSQL cannot compute: the bucket of each account, until all rows have theirs."""


def fill(database: Database) -> None:
    with database.write() as connection:
        enter_accounts(connection)
    for name, by in TABLES.items():
        last = None
        while (last := fill_next(database, name, by, last)) is not None:
            pass


def fill_rest(connection: sa.Connection) -> None:
    """Fill what old processes have written since; the upgrade's transaction keeps all writers out."""
    enter_accounts(connection)
    for name, by in TABLES.items():
        connection.execute(_filling(_table(name, by)))


def enter_accounts(connection: sa.Connection) -> None:
    every = sa.union(*(sa.select(_table(name, by).c.did) for name, by in TABLES.items()))
    found = sa.except_(every.subquery().select(), sa.select(_ACCOUNTS.c.did))
    rows = [{"did": did, "bucket": bucket_of(did)} for did in connection.scalars(found)]
    if rows:
        connection.execute(sa.insert(_ACCOUNTS), rows)


def count_without(connection: sa.Connection) -> int:
    tables = [_table(name, by) for name, by in TABLES.items()]
    return sum(count_rows(connection, each.c.bucket.is_(None)) for each in tables)


def fill_next(database: Database, name: str, by: str, after: Any) -> Any:
    """Fill the next rows, and return the last value of their column; None after the last ones."""
    table = _table(name, by)
    column = table.c[by]
    behind = column > after if after is not None else sa.true()
    page = sa.select(column).where(behind).order_by(column).limit(ROWS_PER_STEP).subquery()
    with database.write() as connection:
        last = connection.scalar(sa.select(sa.func.max(page.c[by])))
        if last is not None:
            connection.execute(_filling(table).where(behind, column <= last))
        return last


def _table(name: str, by: str) -> sa.TableClause:
    columns = (
        sa.column(each, sa.Text if each == "did" else sa.Integer)
        for each in dict.fromkeys((by, "did", "bucket"))
    )
    return sa.table(name, *columns)


def _filling(table: sa.TableClause) -> sa.Update:
    missing = (table.c.did == _ACCOUNTS.c.did, table.c.bucket.is_(None))
    return sa.update(table).where(*missing).values(bucket=_ACCOUNTS.c.bucket)
