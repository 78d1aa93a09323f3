"""Results of commands, kept for a day under the caller's Idempotency-Key.

The command's own unit of work writes the row, so a repeated request finds the result, or nothing when the command failed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import BaseModel
from sqlalchemy import Column, Connection, Integer, Table, Text, bindparam, delete, insert, select

from eventstore.errors import IdempotencyMismatchError
from eventstore.prepared import Prepared, Query
from eventstore.schema import Json, UtcDateTime, metadata
from eventstore.unit_of_work import UnitOfWork

RESULT_TTL: Final = timedelta(hours=24)

idempotency = Table(
    "idempotency",
    metadata,
    Column("did", Text, primary_key=True),
    Column("method", Text, primary_key=True),
    Column("route", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("digest", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", Json, nullable=False),
    Column("headers", Json, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
)


_BY_KEY: Final = Prepared(
    lambda _: select(idempotency).where(
        *(column == bindparam(column.name) for column in idempotency.primary_key)
    )
)
_EXPIRE: Final = Prepared(
    lambda _: delete(idempotency).where(
        idempotency.c.did == bindparam("did"), idempotency.c.created_at <= bindparam("until")
    )
)
_KEEP: Final = Prepared(lambda _: insert(idempotency), idempotency.columns.keys())


@dataclass(frozen=True)
class CommandResult:
    """What a command answers. A body that is a model becomes JSON once: when it is sent, or when it is kept."""

    status: int
    body: BaseModel | dict[str, Any]
    headers: dict[str, str]

    @property
    def fields(self) -> dict[str, Any]:
        """The body as JSON values."""
        return self.body if isinstance(self.body, dict) else self.body.model_dump(mode="json")


@dataclass(frozen=True)
class RequestKey:
    """One account's key for one method on one route."""

    did: str
    method: str
    route: str
    key: str

    @property
    def query(self) -> Query:
        return _BY_KEY.query(**vars(self))

    def stored(
        self, read: Callable[[Query], list[Any]], now: Callable[[], datetime]
    ) -> "StoredResult | None":
        """Find the result of an earlier request with this key, unless it has expired."""
        rows = read(self.query)
        if not rows or rows[0].created_at <= now() - RESULT_TTL:
            return None
        (row,) = rows
        return StoredResult(row.digest, CommandResult(row.status, row.body, row.headers))

    def stored_in(self, unit: UnitOfWork) -> "StoredResult | None":
        """Return `stored` for a unit of work."""
        if not unit.finds(self.query, expected=False):
            return None
        return self.stored(lambda query: query.start(unit.connection).all(), lambda: unit.now)

    def keep(self, connection: Connection, digest: str, result: CommandResult, now: datetime) -> None:
        """Keep the result with the digest of its request, and delete the account's expired ones."""
        _EXPIRE.start(connection, {"did": self.did, "until": now - RESULT_TTL})
        _KEEP.start(
            connection,
            {**vars(self), **vars(result), "body": result.fields, "digest": digest, "created_at": now},
        )


@dataclass(frozen=True)
class StoredResult:
    """The result of an earlier request, and the digest of that request's body."""

    digest: str
    result: CommandResult

    def for_digest(self, digest: str) -> CommandResult:
        """Return the result, if the digest is the same; raises IdempotencyMismatchError."""
        if digest != self.digest:
            raise IdempotencyMismatchError
        return self.result
