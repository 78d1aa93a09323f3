"""The tables of the log, and the metadata and column types of every package's tables.

Alembic owns the schema (migrations/); a test holds it to these declarations.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.types import TypeDecorator, TypeEngine

from eventstore.streams.buckets import BUCKET, account_columns, add_bucket_to_keys, did_column

T = TypeVar("T", datetime, datetime | None)

metadata = sa.MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


@event.listens_for(metadata, "after_create")
def _add_bucket_to_keys(
    _: sa.MetaData, connection: sa.Connection, *, tables: Sequence[sa.Table], **__: Any
) -> None:
    if connection.dialect.name == "postgresql":
        for table in tables:
            if BUCKET in table.c:
                add_bucket_to_keys(connection, table.name, did_column(table))


Position = sa.BigInteger().with_variant(sa.Integer, "sqlite")
"""The type of positions and sequence ids: SQLite counts them only in an INTEGER PRIMARY KEY."""


class JSON(TypeDecorator[Any]):
    """JSON, whose None is NULL. Fingerprints of read models contain the name of this class."""

    impl = sa.JSON
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(JSONB() if dialect.name == "postgresql" else sa.JSON())

    def bind_processor(self, dialect: sa.Dialect) -> Any:  # noqa: ARG002
        return _json


DELETE: Final = "\x7f"
"""The one ASCII character that only `json.dumps` escapes."""


def _json(value: Any) -> str | None:
    """Return what `json.dumps` does, in a third of its time: read models are compared by this text on SQLite."""
    if value is None:
        return None
    text = msgspec.json.format(msgspec.json.encode(value), indent=0).decode()
    return text if text.isascii() and DELETE not in text else json.dumps(value)


Json: Final = JSON()


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime with microseconds, on both databases; a naive one raises ValueError."""

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> TypeEngine[datetime]:
        """Use TIMESTAMPTZ on PostgreSQL, and fixed-width text that sorts by time on SQLite."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(TIMESTAMP(timezone=True))
        return dialect.type_descriptor(sa.DateTime())

    # what SQLAlchemy's own type does on SQLite takes longer than the rest of a row
    def bind_processor(self, dialect: sa.Dialect) -> Any:
        if dialect.name == "postgresql":
            return _in_utc
        return lambda value: value and _in_utc(value).isoformat(" ", "microseconds").removesuffix("+00:00")

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Any:  # noqa: ARG002
        if dialect.name == "postgresql":
            return _in_utc
        return lambda text: text and datetime.fromisoformat(text + "+00:00")


def _in_utc(value: T) -> T:
    if value is None:
        return value
    if value.tzinfo is None:
        msg = f"naive datetime {value!r}: give it a time zone"
        raise ValueError(msg)
    return value if value.tzinfo is UTC else value.astimezone(UTC)


def partial_index(
    name: str, *columns: sa.ColumnElement[Any], where: sa.ColumnElement[bool], unique: bool = False
) -> None:
    sa.Index(name, *columns, unique=unique, sqlite_where=where, postgresql_where=where)


def envelope_columns() -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text, nullable=False) for name in ("actor", "via", "request_id")]


stored_event = sa.Table(
    "stored_event",
    metadata,
    sa.Column("position", Position, primary_key=True, autoincrement=True),
    *account_columns(),
    sa.Column("originator_id", sa.Text, nullable=False),
    sa.Column("originator_version", sa.Integer, nullable=False),
    sa.Column("topic", sa.Text, nullable=False),
    sa.Column("state", sa.LargeBinary, nullable=False),
    *envelope_columns(),
    sa.Column("recorded_at", UtcDateTime, nullable=False),
    sa.UniqueConstraint("originator_id", "originator_version"),
    sa.Index("ix_stored_event_did_position", "did", "position"),
    sqlite_autoincrement=True,
)
"""The log. The envelope (did .. recorded_at) is in columns; events do not contain it."""

projection_state = sa.Table(
    "projection_state",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("work", sa.Text),
    sa.Column("read_models", sa.Text),
    sa.Column("position", Position),
    sa.Column("head", Position),
    sa.Column("began_at", UtcDateTime),
    sa.Column("moved_at", UtcDateTime),
)
"""A row for each read model, and one for the progress of the newest rebuild or verification."""

track_id_sequence = sa.Table(
    "track_id_sequence",
    metadata,
    sa.Column("id", Position, primary_key=True, autoincrement=True),
    sa.Column("did", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)
"""Counts the numbers in new ids, and is the directory of older ids (streams/ids.py)."""
