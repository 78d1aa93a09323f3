"""Divides the accounts among 4,096 buckets, for ever: the bucket of an account is in the ids of its subjects and in its tokens.

Parts of the accounts can then be placed apart, and a reader of an id or token knows where, without a look-up. So every row of an
account has a column `bucket`, and every statement about an account names its bucket: a statement that compares a column of
`account_columns` with a DID compares the bucket as well, and one that inserts a DID inserts it. Beside an id that names a row, a
statement compares the bucket alone: with the DID, SQLite would rather read all rows of the account.
A part is the buckets of a partition, or of a shard, where the tables are divided.
"""

from collections.abc import Callable
from functools import lru_cache
from hashlib import sha256
from itertools import pairwise
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.sql import operators
from sqlalchemy.types import TypeDecorator

BUCKETS: Final = 4096
EVERY: Final = range(BUCKETS)
Part = range | tuple[int, ...]
"""Buckets whose rows lie together: a range where the tables are divided by ranges, any where by hashes."""
REMEMBERED: Final = 16_384


@lru_cache(REMEMBERED)
def bucket_of(did: str) -> int:
    """Return the first 12 bits of the SHA-256 of the DID: rows and ids have it, so it can never be computed otherwise."""
    return int.from_bytes(sha256(did.encode()).digest()[:2]) >> 4


BUCKET: Final = "bucket"


class Bucket(TypeDecorator[int]):
    """The bucket of the DID that is given; as a parameter of a statement, that of the parameter `of`."""

    impl = sa.SmallInteger
    cache_ok = True

    def __init__(self, of: str = "did") -> None:
        super().__init__()
        self.of: Final = of

    def bind_processor(self, dialect: sa.Dialect) -> Any:  # noqa: ARG002
        return lambda value: bucket_of(value) if isinstance(value, str) else value


class _OfAccount(TypeDecorator.Comparator[str], sa.Text.Comparator[str]):
    def operate(self, op: Any, *others: Any, **kwargs: Any) -> sa.ColumnElement[Any]:
        same: sa.ColumnElement[Any] = super().operate(op, *others, **kwargs)
        if op not in {operators.eq, operators.in_op} or (bucket := _beside(self.expr)) is None:
            return same
        other = others[0]
        if op is operators.in_op:
            is_list = isinstance(other, list | tuple | set | frozenset)
            return sa.and_(same, bucket.in_(sorted(map(bucket_of, other)))) if is_list else same
        of_other = _bucket_as_given(other)
        return same if of_other is None else sa.and_(same, bucket == of_other)


class Did(TypeDecorator[str]):
    impl = sa.Text
    cache_ok = True
    comparator_factory: Any = _OfAccount


def account_columns(name: str = "did", **options: Any) -> tuple[sa.Column[str], sa.Column[int]]:
    """Return the columns of a table whose rows belong to accounts. On PostgreSQL each of its keys has the bucket, too (ADR 52)."""
    did: sa.Column[str] = sa.Column(name, Did, nullable=False, **options)
    bucket: sa.Column[int] = sa.Column(BUCKET, Bucket(name), default=given(name))
    return did, bucket


def did_column(table: sa.Table) -> str:
    return next(each.name for each in table.columns if isinstance(each.type, Did))


def divided(parts: int) -> list[range]:
    bounds = [number * BUCKETS // parts for number in range(parts + 1)]
    return [range(first, end) for first, end in pairwise(bounds)]


def in_part(bucket: sa.ColumnElement[int], part: Part) -> sa.ColumnElement[bool]:
    """Whether a row is in the part: in constants, so that PostgreSQL plans for that partition, or Citus for that shard, alone."""
    if part == EVERY:
        return bucket.is_not(None)  # which costs nothing
    if isinstance(part, tuple):
        listed: sa.ColumnElement[Any] = sa.literal_column(f"'{{{','.join(map(str, part))}}}'::smallint[]")
        return bucket == sa.any_(listed)
    first, last = (sa.literal_column(str(each), sa.SmallInteger) for each in (part[0], part[-1]))
    return bucket.between(first, last)


def in_reach(bucket: sa.ColumnElement[int], part: Part) -> sa.ColumnElement[bool]:
    """Whether a statement about the part can read the row as well: any row, unless parts lie on several machines."""
    return in_part(bucket, part if isinstance(part, tuple) else EVERY)


PARTS: Final = sa.text("select count(*) from pg_inherits where inhparent = cast(:table as regclass)")
"""How many parts a table has, 0 where it is whole."""
CONSTRAINTS: Final = sa.text("""
    select quote_ident(conname) as name, pg_get_constraintdef(oid) as definition from pg_constraint
    where conrelid = cast(:table as regclass) and contype in ('p', 'u')
""")
INDEXES: Final = sa.text("""
    select indexrelid::regclass::text as name, pg_get_indexdef(indexrelid) as definition, indisunique as is_unique
    from pg_index where indrelid = cast(:table as regclass)
    and not exists (select 1 from pg_constraint where conindid = indexrelid)
""")


def add_bucket_to_keys(connection: sa.Connection, table: str, did: str = "did") -> None:
    """Put the bucket into each unique key of a table of PostgreSQL, as partitions need it, and into each index of DIDs (ADR 52).

    PostgreSQL takes two columns to be independent; an index with one of them would be passed over for one with both.
    """
    constraints, indexes = (
        connection.execute(each, {"table": table}).all() for each in (CONSTRAINTS, INDEXES)
    )
    for name, definition in constraints:
        wider = f"drop constraint {name}, add constraint {name} {_with_bucket(definition, did)}"
        connection.exec_driver_sql(f"alter table {table} {wider}")
    for name, definition, is_unique in indexes:
        if is_unique or f"({did}" in definition:
            connection.exec_driver_sql(f"drop index {name}")
            connection.exec_driver_sql(_with_bucket(definition, did).replace("%", "%%"))
    create_statistics(connection, table, did)


def create_statistics(connection: sa.Connection, table: str, did: str = "did") -> None:
    connection.exec_driver_sql(f"create statistics st_{table} (dependencies) on {did}, {BUCKET} from {table}")


def _with_bucket(definition: str, did: str) -> str:
    beside_did = definition.replace(f"({did}", f"({did}, {BUCKET}", 1)
    return beside_did if beside_did != definition else definition.replace(")", f", {BUCKET})", 1)


def given(did: str) -> Callable[[Any], Any]:
    """Return the default of a bucket: the DID that is inserted in the column `did`."""
    return lambda context: context.get_current_parameters()[did]


def for_account(did: str, name: str = "did") -> dict[str, str]:
    """Return the values of the parameter `name` and of its bucket, for a statement that SQLAlchemy executes."""
    return {name: did, f"{BUCKET}_{name}": did}


def bucket_param(name: str) -> sa.BindParameter[int]:
    """Return the parameter that is the bucket of the parameter `name`."""
    return sa.bindparam(f"{BUCKET}_{name}", type_=Bucket(name), required=True)


def _beside(column: Any) -> sa.ColumnElement[int] | None:
    """Return the bucket of the rows that the column of a DID is of, if their table or query has it."""
    table = getattr(column, "table", None)
    return None if table is None else table.c.get(BUCKET)


def _bucket_as_given(other: Any) -> Any:
    """Return the bucket of what a DID is compared with: a text, a parameter or another column; None where there is none."""
    if isinstance(other, str):
        return sa.bindparam(None, other, type_=Bucket(), unique=True)
    if not isinstance(other, sa.BindParameter):
        return _beside(other)
    if other.required:
        return bucket_param(other.key)
    return sa.bindparam(None, other.value, type_=Bucket(), unique=True)
