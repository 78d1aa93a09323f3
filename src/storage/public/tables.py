"""Which audio everybody may fetch, and what is known of the public copies that serve it."""

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Boolean, Column, Index, Integer, Table, Text, literal_column, or_, text

from eventstore.projection import ProjectedTable
from eventstore.schema import Position, UtcDateTime, metadata

PAST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PAST: Final = text("'1970-01-01 00:00:00.000000'")
_ZERO: Final = text("0")

ABSENT: Final = "absent"
UNCERTAIN: Final = "uncertain"
PUBLIC: Final = "public"

public_audio = Table(
    "public_audio",
    metadata,
    Column("track_id", Position, primary_key=True, autoincrement=False),
    Column("cid", Text, primary_key=True),
    Column("did", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("mime", Text, nullable=False),
    Column("wanted", Boolean, nullable=False),
    Index("ix_public_audio_name", "name"),
)
"""Derived from the log: each audio that a track has or had, and whether it is live and ungated now."""

public_copy = Table(
    "public_copy",
    metadata,
    Column("name", Text, primary_key=True),
    Column("cid", Text, nullable=False),
    Column("mime", Text, nullable=False),
    Column("state", Text, nullable=False, server_default=text(f"'{ABSENT}'")),
    Column("changes", Integer, nullable=False, server_default=_ZERO),  # of the wishes for it, counted
    Column("seen", Integer, nullable=False, server_default=_ZERO),  # how many of them have been seen to
    Column("attempts", Integer, nullable=False, server_default=_ZERO),
    Column("not_before", UtcDateTime, nullable=False, server_default=_PAST),
    Column("last_error", Text),
    Column("lease_until", UtcDateTime, nullable=False, server_default=_PAST),
    Column("lease_epoch", Integer, nullable=False, server_default=_ZERO),
)
"""What lies in the store under each name; uncertain from before a copy or delete begins until it is known to be done."""

# Written out, so that PostgreSQL knows the index's condition in a prepared statement too.
_IS_UNCERTAIN: Final = public_copy.c.state == literal_column(f"'{UNCERTAIN}'")
OPEN: Final = or_(public_copy.c.changes != public_copy.c.seen, _IS_UNCERTAIN)
Index("ix_public_copy_open", public_copy.c.not_before, sqlite_where=OPEN, postgresql_where=OPEN)

public_hold = Table(
    "public_hold",
    metadata,
    Column("token", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("until", UtcDateTime, nullable=False),
    Index("ix_public_hold_name", "name"),
)
"""Commands under way that are about to make audio public: to them the copy is wanted already."""

PUBLIC_AUDIO: Final = ProjectedTable(public_audio)
