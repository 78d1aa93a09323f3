"""Every table of every package: importing this makes `metadata` whole."""

from typing import Final

from sqlalchemy import Column

import api.idempotency
import api.running
import eventstore.incarnation
import identity.accounts
import identity.credentials
import identity.session_rows
import outbox.mirror.observe_only
import outbox.mirror.order
import outbox.mirror.tables
import projections.read_models
import replay.adoptions
import service.job_lease
import storage.media
import storage.public_tables
from eventstore.schema import metadata

MODULES: Final = (
    api.idempotency,
    api.running,
    eventstore.incarnation,
    identity.accounts,
    identity.credentials,
    identity.session_rows,
    outbox.mirror.observe_only,
    outbox.mirror.order,
    outbox.mirror.tables,
    projections.read_models,
    replay.adoptions,
    service.job_lease,
    storage.media,
    storage.public_tables,
)

INDEXES_OF_EXPRESSIONS: Final = frozenset(
    index.name
    for table in metadata.tables.values()
    for index in table.indexes
    if not all(isinstance(each, Column) for each in index.expressions)
)


def is_compared(_item: object, name: str | None, kind: str, *_: object) -> bool:
    """Whether alembic can tell what is declared from what is there, which it cannot where databases rewrite expressions."""
    return kind != "index" or name not in INDEXES_OF_EXPRESSIONS


__all__ = ["MODULES", "is_compared", "metadata"]
