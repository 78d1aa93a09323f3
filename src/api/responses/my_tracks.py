"""Reads the tracks of one account for their owner: by the state of their mirror, chosen ones, or the deleted ones; unlisted ones too."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, Field
from sqlalchemy import ColumnElement, Connection, and_, func, or_, select

from aggregates.track import Track
from api.responses.track import TrackBody, track_bodies
from eventstore.untrusted import is_storable
from outbox.mirror.states import MirrorState
from outbox.mirror.tables import mirror_target
from outbox.tracks.record import RecordUrls
from outbox.views.status import STATE, TARGETS_AT_WORK
from projections.blob_migration import AUDIO_COPY_STATE
from projections.tracks.search import contains
from projections.tracks.table import LIVE, TrackView, tracks

target: Final = mirror_target.c
IS_TRACK: Final = target.kind == Track.TOPIC
DECIDES_STATE: Final = or_(~target.former, STATE == MirrorState.HELD)
"""Whether a target decides its track's state: the current one, and a former one that is held."""


class MyTrackBody(TrackBody):
    """A track, with what its owner needs to decide about a copy of its audio on the PDS."""

    audio_size: int = Field(description="in bytes")
    audio_copy: str = Field(
        description="the copy of the audio on the PDS: deleted, gated, uploaded, wanted, failed or unasked"
    )


class MyTracksBody(BaseModel):
    """Some of the account's own tracks, newest first, and the cursor of the next page when there is one."""

    items: list[MyTrackBody]
    cursor: str | None
    counts: dict[str, int] | None = Field(
        description="all live tracks by the state of their mirror; null after the first page, and where ids are asked for"
    )


@dataclass(frozen=True)
class MyTracksFilter:
    """Selects tracks of the account `did`; empty restricts nothing."""

    did: str
    states: Sequence[str] = ()
    ids: Sequence[int] = ()
    q: str | None = None
    is_deleted: bool = False


def my_tracks(
    connection: Connection, which: MyTracksFilter, urls: RecordUrls, *, cursor: int | None, limit: int
) -> MyTracksBody:
    counts = _counts(connection, which.did) if cursor is None and not which.ids else None
    if which.q is not None and not is_storable(which.q):
        return MyTracksBody(items=[], cursor=None, counts=counts)
    query = select(tracks, AUDIO_COPY_STATE.label("audio_copy")).where(*_conditions(connection, which))
    if cursor is not None:
        query = query.where(tracks.c.track_id < cursor)
    rows = connection.execute(query.order_by(tracks.c.track_id.desc()).limit(limit + 1)).all()
    page = rows[:limit]
    bodies = track_bodies(connection, [TrackView.from_row(row) for row in page], urls)
    items = [
        MyTrackBody(**vars(body), audio_size=row.audio_size, audio_copy=row.audio_copy)
        for body, row in zip(bodies, page, strict=True)
    ]
    return MyTracksBody(items=items, cursor=str(items[-1].id) if len(rows) > limit else None, counts=counts)


@dataclass(frozen=True)
class OwnPage:
    """Some of an artist's tracks, how many match, and how many of the artist's have audio that may be copied to the PDS."""

    items: tuple[TrackView, ...]
    total: int
    copyable: int


def own_page(
    connection: Connection, which: MyTracksFilter, *, by_title: bool, offset: int, limit: int
) -> OwnPage:
    """Read a page of an artist's tracks, newest first or by title, which is compared as search compares it."""
    own = _conditions(connection, MyTracksFilter(which.did))
    copyable = _count(connection, *own, tracks.c.support_gate.is_(None), tracks.c.blob_ref.is_(None))
    if which.q is not None and not is_storable(which.q):
        return OwnPage((), 0, copyable)
    found = _conditions(connection, which)
    order = (tracks.c.search, tracks.c.track_id) if by_title else (tracks.c.track_id.desc(),)
    page = select(tracks).where(*found).order_by(*order).offset(offset).limit(limit)
    views = tuple(map(TrackView.from_row, connection.execute(page)))
    return OwnPage(views, _count(connection, *found), copyable)


def without_record(connection: Connection, did: str) -> tuple[TrackView, ...]:
    """Return the live tracks whose record another client deleted."""
    missing = (LIVE, tracks.c.did == did, tracks.c.record_missing_since.is_not(None))
    rows = connection.execute(select(tracks).where(*missing).order_by(tracks.c.track_id.desc()))
    return tuple(map(TrackView.from_row, rows))


def audio_sizes(connection: Connection, did: str) -> dict[int, int]:
    """Return the bytes of each live track's audio, by track id."""
    query = select(tracks.c.track_id, tracks.c.audio_size).where(LIVE, tracks.c.did == did)
    return {row.track_id: row.audio_size for row in connection.execute(query)}


def _count(connection: Connection, *conditions: ColumnElement[bool]) -> int:
    return connection.scalar(select(func.count(tracks.c.track_id)).where(*conditions)) or 0


def _conditions(connection: Connection, which: MyTracksFilter) -> list[ColumnElement[bool]]:
    conditions = [tracks.c.did == which.did, ~LIVE if which.is_deleted else LIVE]
    if which.ids:
        conditions.append(tracks.c.track_id.in_(which.ids))
    if which.states:
        in_state = (
            select(target.subject_id)
            .select_from(TARGETS_AT_WORK)
            .where(target.did == which.did, IS_TRACK, STATE.in_(which.states), DECIDES_STATE)
        )
        conditions.append(tracks.c.track_id.in_(in_state))
    if which.q is not None:
        conditions.append(contains(connection, which.q))
    return conditions


def _counts(connection: Connection, did: str) -> dict[str, int]:
    rows = connection.execute(
        select(STATE.label("mirror_state"), func.count(target.subject_id.distinct()))
        .select_from(TARGETS_AT_WORK.join(tracks, and_(tracks.c.track_id == target.subject_id, IS_TRACK)))
        .where(target.did == did, LIVE, DECIDES_STATE)
        .group_by("mirror_state")
    )
    return {str(state): count for state, count in rows}
