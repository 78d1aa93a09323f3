"""Imports the tables of all packages, which completes `metadata`."""

from importlib import import_module
from typing import Any, Final

import sqlalchemy as sa

from aggregates.reactions.comment import Comment
from aggregates.reactions.like import Like
from eventstore.projection import Projection
from eventstore.sql.schema import metadata
from eventstore.streams.buckets import BUCKET
from projections.history import History
from projections.lists import Lists
from projections.media_references import MediaReferences
from projections.profiles import Profiles
from projections.reactions import HiddenComments, Reactions
from projections.releases import Releases
from projections.tracks.search import SEARCH_INDEX
from projections.tracks.table import Tracks, TrackTags

MODULES: Final = [
    import_module(name)
    for name in (
        "eventstore.event_budget",
        "eventstore.idempotency",
        "eventstore.coordination.restore_detection",
        "eventstore.streams.snapshots",
        "eventstore.streams.ids",
        "identity.accounts.accounts",
        "identity.accounts.credentials",
        "identity.sessions.session_store",
        "outbox.lists.items",
        "outbox.mirror.observe_only",
        "outbox.mirror.due",
        "outbox.mirror.tables",
        "eventstore.jobs.table",
        "replay.exports",
        "replay.repair.jobs",
        "storage.derived.renditions",
        "storage.derived.waveforms",
        "storage.media",
        "storage.uploads.staged_uploads",
        "storage.public.copies",
    )
]

READ_MODELS: Final[tuple[Projection, ...]] = (
    Tracks(),
    TrackTags(),
    Reactions(Like),
    Reactions(Comment),
    HiddenComments(),
    Lists(),
    Profiles(),
    Releases(),
    History(),
    MediaReferences(),
)
"""Parents before children."""

INDEXES_OF_EXPRESSIONS: Final = frozenset(
    index.name
    for table in metadata.tables.values()
    for index in table.indexes
    if not all(isinstance(each, sa.Column) for each in index.expressions)
)


def is_compared(item: Any, name: str | None, kind: str, *_: object) -> bool:
    """Whether alembic can compare the declaration with the database.

    It cannot where databases rewrite index expressions, where only one has the index or its tables, and where the keys of only
    one have the bucket.
    """
    if kind == "table":
        return not (name or "").startswith("tracks_search")
    if name == BUCKET or (kind in {"index", "unique_constraint"} and BUCKET in item.table.c):
        return False
    return kind != "index" or name not in {*INDEXES_OF_EXPRESSIONS, SEARCH_INDEX.name}
