"""Answers kept for a day under the caller's Idempotency-Key, in the very transaction of the command.

The row is written by the command's own unit, which has the account to itself: whoever repeats a request finds
the answer, or nothing when the command failed.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from fastapi import Request, Response
from sqlalchemy import Column, Connection, Integer, Table, Text, delete, insert, select

from api.json_response import AsciiJsonResponse
from api.refusals import IdempotencyMismatchError, UnparsableError
from eventstore.schema import Json, UtcDateTime, metadata

KEPT: Final = timedelta(hours=24)
KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")

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


@dataclass(frozen=True)
class Answer:
    """What a command answers, as it is sent and kept."""

    status: int
    body: dict[str, Any]
    headers: dict[str, str]


@dataclass(frozen=True)
class RequestKey:
    """One account's key for one method on one route."""

    did: str
    method: str
    route: str
    key: str

    @classmethod
    def of(cls, did: str, request: Request) -> "RequestKey | None":
        """Read the header; without it, a request is a new one each time."""
        header = request.headers.get("idempotency-key")
        if header is None:
            return None
        if KEY.fullmatch(header) is None:
            raise UnparsableError(
                "Idempotency-Key must be 1 to 255 visible ASCII characters. Nothing was changed."
            )
        return cls(did, request.method, request.url.path, header)

    def stored(self, connection: Connection, now: datetime) -> "StoredAnswer | None":
        """Find the answer given before, unless its time is over."""
        row = connection.execute(
            select(idempotency).where(*self.conditions(idempotency), idempotency.c.created_at > now - KEPT)
        ).one_or_none()
        return StoredAnswer(row.digest, Answer(row.status, row.body, row.headers)) if row else None

    def keep(self, connection: Connection, digest: str, answer: Answer, now: datetime) -> None:
        """Keep the answer with what was asked, and let go of what the account no longer needs."""
        old = (idempotency.c.did == self.did) & (idempotency.c.created_at <= now - KEPT)
        connection.execute(delete(idempotency).where(old))
        connection.execute(
            insert(idempotency).values(**vars(self), **vars(answer), digest=digest, created_at=now)
        )

    def conditions(self, table: Table) -> list[Any]:
        """Name the row that a table has for this key."""
        return [table.c[name] == value for name, value in vars(self).items()]


@dataclass(frozen=True)
class StoredAnswer:
    """An answer that was given, and the digest of the request it was given to."""

    digest: str
    answer: Answer

    def to(self, digest: str) -> Answer:
        """The answer again, for the same request only."""
        if digest != self.digest:
            raise IdempotencyMismatchError
        return self.answer


def response_of(answer: Answer, headers: Mapping[str, str] | None = None) -> Response:
    """Send it."""
    return AsciiJsonResponse(
        answer.body, status_code=answer.status, headers={**answer.headers, **(headers or {})}
    )
