"""Imports the tables of all packages, which completes `metadata`."""

from typing import Final

from sqlalchemy import Column

import eventstore.idempotency.lock
import eventstore.idempotency.results
import eventstore.jobs.table
import eventstore.restore_detection
import eventstore.streams.track_ids
import identity.accounts.accounts
import identity.accounts.credentials
import identity.sessions.session_store
import outbox.mirror.observe_only
import outbox.mirror.priority
import outbox.mirror.tables
import replay.repair.jobs
import storage.derived.renditions
import storage.derived.waveforms
import storage.media
import storage.public.tables
from eventstore.projection import Projection
from eventstore.schema import metadata
from projections.history import History
from projections.media_references import MediaReferences
from projections.tracks.search import SEARCH_INDEX
from projections.tracks.table import Tracks
from projections.tracks.tags import TrackTags

MODULES: Final = (
    eventstore.idempotency.results,
    eventstore.idempotency.lock,
    eventstore.restore_detection,
    eventstore.streams.track_ids,
    identity.accounts.accounts,
    identity.accounts.credentials,
    identity.sessions.session_store,
    outbox.mirror.observe_only,
    outbox.mirror.priority,
    outbox.mirror.tables,
    eventstore.jobs.table,
    replay.repair.jobs,
    storage.derived.renditions,
    storage.derived.waveforms,
    storage.media,
    storage.public.tables,
)

READ_MODELS: Final[tuple[Projection, ...]] = (Tracks(), TrackTags(), History(), MediaReferences())
"""Parents before children."""

INDEXES_OF_EXPRESSIONS: Final = frozenset(
    index.name
    for table in metadata.tables.values()
    for index in table.indexes
    if not all(isinstance(each, Column) for each in index.expressions)
)


def is_compared(_item: object, name: str | None, kind: str, *_: object) -> bool:
    """Whether alembic can compare the declaration with the database.

    It cannot where databases rewrite index expressions, and where only one has the index or its tables.
    """
    if kind == "table":
        return not (name or "").startswith("tracks_search")
    return kind != "index" or name not in {*INDEXES_OF_EXPRESSIONS, SEARCH_INDEX.name}


__all__ = ["MODULES", "READ_MODELS", "is_compared", "metadata"]
