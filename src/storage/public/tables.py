"""The tables of public audio: what should be public, the known state of the copies, and reservations."""

from typing import Final

from sqlalchemy import Boolean, Column, Index, Table, Text, text

from eventstore.projection import ProjectedTable
from eventstore.schema import Position, UtcDateTime, metadata
from eventstore.states import State, Transition


class PublicCopyState(State):
    """What is known of a public copy in the store."""

    ABSENT = "absent", "the store has no such copy"
    UNCERTAIN = (
        "uncertain",
        "an action on it has begun, or what the store has differs; the publisher has to act",
    )
    PUBLIC = "public", "the store has the copy"


TRANSITIONS: Final = (
    Transition(None, PublicCopyState.ABSENT, "a track or a command first wants the audio public"),
    Transition(None, PublicCopyState.UNCERTAIN, "the review finds a copy in the store that has no row"),
    Transition(PublicCopyState.ABSENT, PublicCopyState.UNCERTAIN, "the publisher is about to make the copy"),
    Transition(PublicCopyState.ABSENT, PublicCopyState.UNCERTAIN, "the review finds the copy in the store"),
    Transition(
        PublicCopyState.PUBLIC, PublicCopyState.UNCERTAIN, "the publisher is about to remove the copy"
    ),
    Transition(
        PublicCopyState.PUBLIC, PublicCopyState.UNCERTAIN, "the review finds that the store has no copy"
    ),
    Transition(
        PublicCopyState.ABSENT, PublicCopyState.UNCERTAIN, "a publisher whose lease has expired finishes late"
    ),
    Transition(
        PublicCopyState.PUBLIC, PublicCopyState.UNCERTAIN, "a publisher whose lease has expired finishes late"
    ),
    Transition(PublicCopyState.UNCERTAIN, PublicCopyState.PUBLIC, "the publisher has made the copy"),
    Transition(PublicCopyState.UNCERTAIN, PublicCopyState.ABSENT, "the publisher has removed the copy"),
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
)
"""The known state of the copy under each name."""

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
