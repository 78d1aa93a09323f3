"""`likes` and `comments`: what each account says of tracks, and what others read of that at a track: `reaction`, and `track_count`.

A like or a comment belongs to its account, the other two to the track's owner, as `hidden_comment` does. They follow within seconds,
by jobs: no unit of work writes rows of two accounts, which may be kept in different places.
"""

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from aggregates.published import Published, Subject
from aggregates.reactions.comment import Comment
from aggregates.reactions.like import Like
from aggregates.reactions.reaction import Reaction
from aggregates.tracks.track import Track
from eventstore.change import Change, changes_of
from eventstore.jobs import queue
from eventstore.jobs.kinds import Wanted
from eventstore.jobs.table import PAST
from eventstore.projection import (
    CarriedTable,
    Into,
    ProjectedTable,
    fingerprint,
    insert_rows,
    refill,
    write_rows,
)
from eventstore.sql.schema import Position, UtcDateTime, metadata, partial_index
from eventstore.streams.append import key_of, upsert
from eventstore.streams.buckets import account_columns
from projections.tracks.table import tracks

VERSION: Final = 1
REACTION: Final = "reaction"
"""The kind of the jobs that carry a change to accounts that read of it; a subject is its kind, its id, and what has changed it."""
FOUND: Final = "found"
"""What an adoption does."""


def carried(change: Change, subject: Published) -> Wanted:
    return Wanted(REACTION, f"{Subject.of(subject)}/{change.version}", change.did)


def _reactions(kind: type[Reaction], name: str, *own: sa.schema.SchemaItem) -> sa.Table:
    key = f"{kind.TOPIC}_id"
    return sa.Table(
        name,
        metadata,
        sa.Column(key, Position, primary_key=True, autoincrement=False),
        *account_columns(),
        sa.Column("track_id", Position),
        sa.Column("track_uri", sa.Text, nullable=False),
        sa.Column("track_cid", sa.Text),
        sa.Column("created_at", sa.Text, nullable=False),
        sa.Column("deleted_at", UtcDateTime),
        sa.Column("collection", sa.Text, nullable=False),
        sa.Column("rkey", sa.Text, nullable=False),
        sa.Index(f"ix_{name}_did_track_id", "did", "track_id"),
        *own,
    )


likes: Final = _reactions(Like, "likes", sa.Index("ix_likes_did_like_id", "did", "like_id"))
comments: Final = _reactions(
    Comment,
    "comments",
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("timestamp_ms", sa.Integer, nullable=False),
    sa.Column("edited_at", UtcDateTime),
    sa.Column("taken_down_at", UtcDateTime),
    sa.Column("takedown_reason", sa.Text),
    sa.Column("visible_version", sa.Integer, nullable=False),
    sa.Index("ix_comments_track_id_comment_id", "track_id", "comment_id"),
)
IS_LIVE: Final = likes.c.deleted_at.is_(None)
IS_SAID: Final = comments.c.deleted_at.is_(None)
SHOWN: Final = {
    Like.TOPIC: (likes, likes.c.like_id, IS_LIVE),
    Comment.TOPIC: (comments, comments.c.comment_id, IS_SAID & comments.c.taken_down_at.is_(None)),
}
"""By kind: its table, the id, and which others may see unless the track's owner hides it. `track_count` counts by the table's name."""

reaction = sa.Table(
    "reaction",
    metadata,
    sa.Column("track_id", Position, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("subject_id", Position, primary_key=True, autoincrement=False),
    *account_columns(),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("created_at", sa.Text, nullable=False),
    sa.Index("ix_reaction_kind_created_at", "kind", "created_at"),
)
track_count = sa.Table(
    "track_count",
    metadata,
    sa.Column("track_id", Position, primary_key=True, autoincrement=False),
    *account_columns(),
    sa.Column("likes", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("comments", sa.Integer, nullable=False, server_default=sa.text("0")),
)
HAS_LIKES: Final = track_count.c.likes > sa.literal_column("0")
partial_index("ix_track_count_likes", track_count.c.likes, track_count.c.track_id, where=HAS_LIKES)
_OF_LIKES: Final[dict[str, Any]] = dict.fromkeys(
    ("sqlite_where", "postgresql_where"), sa.text(f"kind = '{Like.TOPIC}'")
)
outsider_reaction = sa.Table(
    "outsider_reaction",
    metadata,
    sa.Column("subject_id", Position, primary_key=True, autoincrement=False),
    *account_columns(),
    sa.Column("track_id", Position, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("host", sa.Text, nullable=False),  # that has shown the record
    sa.Column("collection", sa.Text, nullable=False),
    sa.Column("rkey", sa.Text, nullable=False),
    sa.Column("created_at", sa.Text, nullable=False),
    sa.Column("text", sa.Text),
    sa.Column("timestamp_ms", sa.Integer),
    sa.Column("read_at", UtcDateTime, nullable=False, server_default=sa.text(f"'{PAST:%F %T.%f}'")),
    sa.Column("taken_down_at", UtcDateTime),
    sa.Column("takedown_reason", sa.Text),
    sa.Column("shown_at", UtcDateTime, nullable=False, server_default=sa.text(f"'{PAST:%F %T.%f}'")),
    sa.Index("ix_outsider_reaction_host", "host", "read_at"),
    sa.Index("ix_outsider_reaction_shown", "track_id", "host", "shown_at"),
    sa.Index("ix_outsider_reaction_record", "author", "collection", "rkey", unique=True),
    sa.Index("ix_outsider_reaction_like", "author", "track_id", unique=True, **_OF_LIKES),
)
"""What people without an account here say of tracks, each as its record was read: the log has none of it."""
hidden_comment = sa.Table(
    "hidden_comment",
    metadata,
    sa.Column("track_id", Position, primary_key=True, autoincrement=False),
    sa.Column("comment_id", Position, primary_key=True, autoincrement=False),
    *account_columns(),
)


class Reactions:
    """What each account says of tracks, in the table of one kind."""

    def __init__(self, kind: type[Reaction]) -> None:
        self._kind: Final = kind
        self._table: Final = SHOWN[kind.TOPIC][0]
        # the table's is no plain text: SQLite takes long to see that it is one
        self.name: Final = str(self._table.name)
        self._names: Final = [column.key for column in self._table.columns if column.key != "bucket"]
        self.tables: Final = (ProjectedTable(self._table),)
        self.fingerprint: Final = fingerprint(VERSION, self._table)

    def apply(self, connection: sa.Connection, changes: Sequence[Change], into: Into) -> None:
        """Write the reactions; of the live table, have what others read follow."""
        latest: dict[int, Reaction] = {}
        wanted = []
        for change, before, made in changes_of(self._kind, changes):
            latest[made.subject_id] = made
            if before is None or before.is_public != made.is_public:
                by = FOUND if isinstance(change.event, self._kind.Adopted) else change.version
                wanted.append(Wanted(REACTION, f"{Subject.of(made)}/{by}", change.did))
        rows = [{name: getattr(made, name) for name in self._names} for made in latest.values()]
        write_rows(connection, into(self._table), rows)
        if wanted and into(self._table) is self._table:
            queue.request(connection, wanted, changes[-1].recorded_at)

    @property
    def carried(self) -> Sequence[CarriedTable]:
        return AT_TRACKS

    @staticmethod
    def carry_all(connection: sa.Connection) -> None:
        refill(connection, AT_TRACKS)


class HiddenComments:
    """Which comments the owner of each track hides; jobs carry that, and that a track is back."""

    name = "hidden_comment"
    tables = (ProjectedTable(hidden_comment),)
    fingerprint = fingerprint(VERSION, hidden_comment)

    def apply(self, connection: sa.Connection, changes: Sequence[Change], into: Into) -> None:
        table, wanted = into(hidden_comment), []
        for change, before, track in changes_of(Track, changes):
            if before is not None and before.deleted_at is not None and track.deleted_at is None:
                wanted.append(carried(change, track))
            were, are = before.hidden_comments if before is not None else None, track.hidden_comments
            for comment_id in {*(were or ())} ^ {*(are or ())}:
                key = {"track_id": track.track_id, "comment_id": comment_id, "did": track.did}
                if comment_id in (are or ()):
                    insert_rows(connection, table, [key])
                else:
                    connection.execute(sa.delete(table).where(*_is(table, key)))
                by = f"{track.track_id}-{change.version}"
                wanted.append(Wanted(REACTION, f"{Comment.TOPIC}/{comment_id}/{by}", change.did))
        if wanted and table is hidden_comment:
            queue.request(connection, wanted, changes[-1].recorded_at)


def _is(table: sa.Table, key: dict[str, Any]) -> list[sa.ColumnElement[bool]]:
    return [table.c[name] == value for name, value in key.items()]


def owner_hides(
    owner: sa.ColumnElement[str], track_id: sa.ColumnElement[int], subject_id: sa.ColumnElement[int]
) -> sa.Exists:
    of = hidden_comment.c  # of no like: an id is of one subject, whatever its kind
    return sa.exists().where(of.did == owner, of.track_id == track_id, of.comment_id == subject_id)


SAID: Final = outsider_reaction.c
SAID_IS_UP: Final = SAID.taken_down_at.is_(None)
SAID_IS_HIDDEN: Final = owner_hides(SAID.did, SAID.track_id, SAID.subject_id)


def is_hidden(connection: sa.Connection, owner: str, track_id: int, comment_id: int) -> bool:
    found = owner_hides(sa.literal(owner), sa.literal(track_id), sa.literal(comment_id))
    return bool(connection.scalar(sa.select(sa.literal(1)).where(found)))


INTO: Final = ("track_id", "did", "bucket", "kind", "subject_id", "author", "created_at")


def _fill_reactions(connection: sa.Connection, into: sa.Table) -> None:
    track = (tracks.c.track_id, tracks.c.did, tracks.c.bucket)
    for kind, (table, subject_id, is_public) in SHOWN.items():
        said = sa.select(table.c.track_id, subject_id.label("id"), table.c.did, table.c.created_at)
        # materialized: Citus brings rows of other buckets to each node, and does not join them
        public = said.where(is_public).cte().prefix_with("materialized", dialect="postgresql").c
        shown = sa.select(*track, sa.literal(kind), public.id, public.did, public.created_at)
        hides = owner_hides(tracks.c.did, tracks.c.track_id, public.id)
        shown = shown.where(public.track_id == tracks.c.track_id, ~hides)
        connection.execute(sa.insert(into).from_select(INTO, shown))
    shown = sa.select(*(SAID[name] for name in INTO)).where(SAID_IS_UP, ~SAID_IS_HIDDEN)
    connection.execute(sa.insert(into).from_select(INTO, shown))


def _fill_counts(connection: sa.Connection, into: sa.Table) -> None:
    """Count the live reactions, which change in the same transactions; a track that lost its last one keeps a row."""
    of, kept = reaction.c, track_count.c
    names = ["track_id", "bucket", "did", *(table.name for table, _, _ in SHOWN.values())]
    numbers = (sa.func.count(sa.case((of.kind == kind, 1))) for kind in SHOWN)
    counted = sa.select(of.track_id, of.bucket, sa.func.min(of.did), *numbers)
    connection.execute(sa.insert(into).from_select(names, counted.group_by(of.track_id, of.bucket)))
    has_reactions = sa.exists().where(of.track_id == kept.track_id, of.bucket == kept.bucket)
    none = sa.select(kept.track_id, kept.bucket, kept.did, *(sa.literal(0) for _ in SHOWN))
    connection.execute(sa.insert(into).from_select(names, none.where(~has_reactions)))


AT_TRACKS: Final = (
    CarriedTable(ProjectedTable(reaction), _fill_reactions, "{kind}/{subject_id}".format_map),
    CarriedTable(ProjectedTable(track_count), _fill_counts),
)
"""What others read at a track."""


def locked(connection: sa.Connection, kind: str, did: str, subject_id: int) -> Any:
    """Return a reaction with its id, and whether others may see it; until the transaction ends, it stays as it is. None where there is none."""
    table, key, is_public = SHOWN[kind]
    found = sa.select(table, key.label("subject_id"), is_public.label("is_public"))
    return connection.execute(
        found.where(table.c.did == did, key == subject_id).with_for_update()
    ).one_or_none()


def waiting_at(connection: sa.Connection, did: str, track_id: int) -> list[Wanted]:
    """Return jobs for the reactions to a track of the account that wait for its record."""
    of, wanted = reaction.c, list[Wanted]()
    for kind, (table, subject_id, _) in SHOWN.items():
        is_of_track = (of.did == did, of.track_id == track_id, of.kind == kind)
        waits = (table.c.track_cid.is_(None), table.c.deleted_at.is_(None))
        these = subject_id.in_(sa.select(of.subject_id).where(*is_of_track))
        rows = connection.execute(sa.select(subject_id, table.c.did).where(these, *waits))
        wanted += [Wanted(REACTION, f"{kind}/{number}/{track_id}", author) for number, author in rows]
    return wanted


def carry(connection: sa.Connection, owner: str, kind: str, made: Any) -> None:
    """Have the track of this owner show the locked reaction, or no longer, and count it once."""
    shown = {"track_id": made.track_id, "kind": kind, "subject_id": made.subject_id, "did": owner}
    if made.is_public and not is_hidden(connection, owner, made.track_id, made.subject_id):
        row = {**shown, "author": made.did, "created_at": made.created_at}
        insert = upsert(connection, reaction).on_conflict_do_nothing().returning(reaction.c.subject_id)
        changed = len(connection.execute(insert, row).all())
    else:
        changed = -connection.execute(sa.delete(reaction).where(*_is(reaction, shown))).rowcount
    if changed:
        add_to_count(connection, owner, made.track_id, kind, changed)


def add_to_count(connection: sa.Connection, owner: str, track_id: int, kind: str, number: int) -> None:
    name, count = SHOWN[kind][0].name, upsert(connection, track_count)
    more = {name: track_count.c[name] + count.excluded[name]}
    key = key_of(connection.dialect.name, track_count)
    count = count.on_conflict_do_update(index_elements=key, set_=more)
    connection.execute(count, {"track_id": track_id, "did": owner, name: number})
