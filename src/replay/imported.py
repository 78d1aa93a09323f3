"""Checks rows of a dump file: each value before it is imported, and what rows say of others before the import commits."""

import re
from typing import Any, Final

import sqlalchemy as sa

from aggregates.accounts.account import Account
from aggregates.published import Owned, Subject
from aggregates.releases.release import Release
from aggregates.tracks.track import Track
from eventstore.change import Change
from eventstore.event_log import EventLog
from eventstore.projection import into_scratch
from eventstore.sql.cluster import is_distributed
from eventstore.sql.schema import Json, UtcDateTime, stored_event
from eventstore.streams.buckets import Did
from eventstore.streams.ids import peer_track
from eventstore.untrusted import clean
from outbox.mirror.tables import blob_job, mirror_target
from projections.reactions import outsider_reaction
from projections.rebuild.rebuild import EVENTS_PER_PAGE, Replayer
from replay.errors import ImpossibleDumpError
from storage.uploads.staged_uploads import release_upload

ROWS_PER_PAGE: Final = 500
_TOPIC: Final = re.compile(r"[a-z_]+(\.[a-z_]+)+\.v[0-9]+")
_event: Final = stored_event.c

SUBJECTS: Final = (
    (mirror_target, mirror_target.c.kind, mirror_target.c.subject_id),
    (blob_job, blob_job.c.kind, blob_job.c.subject_id),
    (outsider_reaction, sa.literal(Track.TOPIC), outsider_reaction.c.track_id),
    (peer_track, sa.literal(Track.TOPIC), peer_track.c.track_id),
    (release_upload, sa.literal(Release.TOPIC), release_upload.c.release_id),
)
"""The tables whose rows are about a subject of their account, with its kind and id."""


def require_type(column: sa.Column[Any], value: Any) -> None:
    """Raise ValueError for a value that the column cannot have."""
    if value is None:
        if not column.nullable:
            msg = f"{column.name} must not be null"
            raise ValueError(msg)
        return
    kind = column.type
    if isinstance(kind, sa.Boolean):
        fits = isinstance(value, bool)
    elif isinstance(kind, sa.Integer):
        largest = 2 ** (63 if isinstance(kind, sa.BigInteger) else 31)
        fits = isinstance(value, int) and not isinstance(value, bool) and -largest <= value < largest
    elif isinstance(kind, sa.Float):
        fits = isinstance(value, int | float) and not isinstance(value, bool)
    elif isinstance(kind, UtcDateTime):
        fits = value.tzinfo is not None
    elif isinstance(kind, sa.Text | Did):
        fits = isinstance(value, str) and clean(value) == value
    else:
        fits = kind is Json or isinstance(value, bytes)
    if not fits:
        msg = f"{column.name} cannot be {str(value)[:60]!r}"
        raise ValueError(msg)


def require_replayable(log: EventLog, connection: sa.Connection) -> None:
    """Replay all events in the transaction as a rebuild will; raises ImpossibleDumpError for the first that it could not."""
    topics = connection.scalars(sa.select(_event.topic).distinct())
    if strange := [topic for topic in topics if not _TOPIC.fullmatch(topic)]:
        # else a module of that name would be imported
        raise ImpossibleDumpError(f"there is no event {strange[0][:60]!r}")
    if connection.scalar(sa.select(_event.position).where(_event.position < 1).limit(1)) is not None:
        raise ImpossibleDumpError("an event has a position below 1")
    # of Citus the scratch tables of a rebuild lie elsewhere, and are made apart
    whole = () if is_distributed(connection, stored_event.name) else log.projections
    tables = [table for each in whole for table in each.tables]
    for table in tables:
        table.scratch.create(connection, checkfirst=False)
    last = connection.scalar(sa.select(sa.func.max(_event.position))) or 0
    replayer, into, position = Replayer(log), into_scratch(tables), 0
    while position < last:
        where = f"after position {position}"
        try:
            changes = []
            for recorded in log.read(after=position, until=last, limit=EVENTS_PER_PAGE, on=connection):
                where = f"at position {recorded.position}"
                changes += replayer.changes([recorded])
                _require_own(changes[-1])
            where = f"between positions {changes[0].position} and {changes[-1].position}"
            for each in whole:
                each.apply(connection, changes, into)
            position = changes[-1].position
        except ImpossibleDumpError:
            raise
        except Exception as error:
            why = f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
            raise ImpossibleDumpError(f"an event {where} cannot be replayed: {why}") from error
    for table in tables:
        table.scratch.drop(connection)


def _require_own(change: Change) -> None:
    before, after = change.before, change.after
    if change.version != (before.version + 1 if before is not None else 1):
        raise ImpossibleDumpError(
            f"the event at position {change.position} is not the next one of its stream"
        )
    stream = Subject.of(after).stream_id if isinstance(after, Owned) else Account.create_id(change.did)
    if change.aggregate_id != stream or getattr(after, "did", change.did) != change.did:
        raise ImpossibleDumpError(
            f"the event at position {change.position} is in a stream of another account"
        )


def require_subjects(connection: sa.Connection) -> None:
    """Raise ImpossibleDumpError for a row about what its account does not have."""
    for table, kind, number in SUBJECTS:
        query = sa.select(table.c.did, kind, number).distinct()
        for rows in connection.execute(query.execution_options(yield_per=ROWS_PER_PAGE)).partitions():
            subjects = ((did, Subject(of_kind, of_id)) for did, of_kind, of_id in rows)
            named = {str(subject.stream_id): (did, subject) for did, subject in subjects}
            begun = sa.select(_event.originator_id, _event.did).where(_event.originator_version == 1)
            owners = dict(connection.execute(begun.where(_event.originator_id.in_(named))).all())
            for stream, (did, subject) in named.items():
                if owners.get(stream) != did:
                    reason = f"a row of {table.name} is about {subject}, which {did} does not have"
                    raise ImpossibleDumpError(reason)
