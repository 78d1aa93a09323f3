"""The tables of the log, and the metadata and column types of every package's tables.

Alembic owns the schema (migrations/); a test holds it to these declarations.
"""

from datetime import UTC, datetime
from typing import Any, TypeVar

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.types import TypeDecorator, TypeEngine

T = TypeVar("T", datetime, datetime | None)

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

Position = BigInteger().with_variant(Integer, "sqlite")
"""The type of positions and sequence ids: SQLite counts them only in an INTEGER PRIMARY KEY."""

Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime with microseconds, on both databases; a naive one raises ValueError."""

    impl = DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[datetime]:
        """Use TIMESTAMPTZ on PostgreSQL, and fixed-width text that sorts by time on SQLite."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(TIMESTAMP(timezone=True))
        return dialect.type_descriptor(DateTime())

    # what SQLAlchemy's own type does on SQLite takes longer than the rest of a row
    def bind_processor(self, dialect: Dialect) -> Any:
        if dialect.name == "postgresql":
            return _in_utc
        return lambda value: value and _in_utc(value).replace(tzinfo=None).isoformat(" ", "microseconds")

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:  # noqa: ARG002
        if dialect.name == "postgresql":
            return _in_utc
        return lambda text: text and datetime.fromisoformat(text).replace(tzinfo=UTC)


def _in_utc(value: T) -> T:
    if value is None:
        return value
    if value.tzinfo is None:
        msg = f"naive datetime {value!r}: give it a time zone"
        raise ValueError(msg)
    return value.astimezone(UTC)


stored_event = Table(
    "stored_event",
    metadata,
    Column("position", Position, primary_key=True, autoincrement=True),
    Column("did", Text, nullable=False),
    Column("originator_id", Text, nullable=False),
    Column("originator_version", Integer, nullable=False),
    Column("topic", Text, nullable=False),
    Column("state", LargeBinary, nullable=False),
    Column("actor", Text, nullable=False),
    Column("via", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("recorded_at", UtcDateTime, nullable=False),
    UniqueConstraint("originator_id", "originator_version"),
    Index("ix_stored_event_did_position", "did", "position"),
    sqlite_autoincrement=True,
)
"""The log. The envelope (did .. recorded_at) is in columns; events do not contain it."""

# Nothing uses this table: it has been in the schema since the first revision.
event_tracking = Table(
    "event_tracking",
    metadata,
    Column("application_name", Text, primary_key=True),
    Column("notification_id", Position, nullable=False),
)

projection_state = Table(
    "projection_state",
    metadata,
    Column("name", Text, primary_key=True),
    Column("fingerprint", Text, nullable=False),
    Column("work", Text),
    Column("read_models", Text),
    Column("position", Position),
    Column("head", Position),
    Column("began_at", UtcDateTime),
    Column("moved_at", UtcDateTime),
)
"""A row for each read model, and one for the progress of the newest rebuild or verification."""

track_id_sequence = Table(
    "track_id_sequence",
    metadata,
    Column("id", Position, primary_key=True, autoincrement=True),
    Column("did", Text, nullable=False),
    sqlite_autoincrement=True,
)
