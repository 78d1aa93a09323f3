"""The tables of public audio: what should be public, the known state of the copies, and reservations."""

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import Boolean, Column, Index, Integer, Table, Text, literal_column, or_, text

from eventstore.projection import ProjectedTable
from eventstore.schema import Position, UtcDateTime, metadata
from eventstore.states import State, Transition

PAST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_PAST: Final = text("'1970-01-01 00:00:00.000000'")
_ZERO: Final = text("0")


class PublicCopyState(State):
    """What is known of a public copy in the store."""

    ABSENT = "absent", "the store has no such copy"
    UNCERTAIN = (
        "uncertain",
        "an action on it has begun, or what the store has differs; the publisher has to act",
    )
    PUBLIC = "public", "the store has the copy"


TRANSITIONS: Final = (
    Transition(
        before=None, after=PublicCopyState.ABSENT, by="a track or a command first wants the audio public"
    ),
    Transition(
        before=None,
        after=PublicCopyState.UNCERTAIN,
        by="the review finds a copy in the store that has no row",
    ),
    Transition(
        before=PublicCopyState.ABSENT,
        after=PublicCopyState.UNCERTAIN,
        by="the publisher is about to make the copy",
    ),
    Transition(
        before=PublicCopyState.ABSENT,
        after=PublicCopyState.UNCERTAIN,
        by="the review finds the copy in the store",
    ),
    Transition(
        before=PublicCopyState.PUBLIC,
        after=PublicCopyState.UNCERTAIN,
        by="the publisher is about to remove the copy",
    ),
    Transition(
        before=PublicCopyState.PUBLIC,
        after=PublicCopyState.UNCERTAIN,
        by="the review finds that the store has no copy",
    ),
    Transition(
        before=PublicCopyState.ABSENT,
        after=PublicCopyState.UNCERTAIN,
        by="a publisher whose lease has expired finishes late",
    ),
    Transition(
        before=PublicCopyState.PUBLIC,
        after=PublicCopyState.UNCERTAIN,
        by="a publisher whose lease has expired finishes late",
    ),
    Transition(
        before=PublicCopyState.UNCERTAIN, after=PublicCopyState.PUBLIC, by="the publisher has made the copy"
    ),
    Transition(
        before=PublicCopyState.UNCERTAIN,
        after=PublicCopyState.ABSENT,
        by="the publisher has removed the copy",
    ),
)

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
"""Derived from the log: each audio that a track has or had, and whether it should be public now."""

public_copy = Table(
    "public_copy",
    metadata,
    Column("name", Text, primary_key=True),
    Column("cid", Text, nullable=False),
    Column("mime", Text, nullable=False),
    Column("state", Text, nullable=False, server_default=text(f"'{PublicCopyState.ABSENT}'")),
    Column(
        "changes", Integer, nullable=False, server_default=_ZERO
    ),  # counts the changes of its desired state
    Column(
        "seen", Integer, nullable=False, server_default=_ZERO
    ),  # `changes` when the publisher last settled it
    Column("attempts", Integer, nullable=False, server_default=_ZERO),
    Column("not_before", UtcDateTime, nullable=False, server_default=_PAST),
    Column("last_error", Text),
    Column("lease_until", UtcDateTime, nullable=False, server_default=_PAST),
    Column("lease_epoch", Integer, nullable=False, server_default=_ZERO),
)
"""The known state of the copy under each name."""

# Written out, so that PostgreSQL knows the index's condition in a prepared statement too.
_IS_UNCERTAIN: Final = public_copy.c.state == literal_column(f"'{PublicCopyState.UNCERTAIN}'")
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
"""Reservations: commands in progress that are about to make audio public, so that its copy is already wanted."""

PUBLIC_AUDIO: Final = ProjectedTable(public_audio)
