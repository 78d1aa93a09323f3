"""A track as JSON: read model, mirror, handle and blob, read in one statement; and the results of commands on it."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, cast

import sqlalchemy as sa
from pydantic import AfterValidator, BaseModel, Field

from aggregates.published import Subject
from aggregates.tracks.track import Track
from api.json_response import Versioned, body_from, result_of
from api.responses.reader import BESIDE, SubjectReader
from application.errors import TrackNotFoundError
from eventstore.change import of_class
from eventstore.idempotency import CommandResult
from eventstore.sql.prepared import Prepared, among
from eventstore.streams.buckets import bucket_param
from eventstore.streams.ids import found_by_id
from identity.accounts.accounts import account
from identity.errors import INVALID_HANDLE
from outbox.mirror.tables import target
from outbox.tracks.record import RecordUrls
from outbox.views.status import IS_SHOWN, MIRROR_COLUMNS, TARGETS_AT_WORK, Mirror, mirrors, mirrors_in
from projections.history import history
from projections.reactions import IS_LIVE, likes, track_count
from projections.tracks.table import TrackView, tracks


class FeatureBody(BaseModel):
    did: str
    handle: str | None = Field(description="null where another client named the DID alone")


class SupportGateBody(BaseModel):
    """The gate before playback."""

    type: str


Upcoming = Annotated[
    datetime | None, AfterValidator(lambda time: None if time is None else max(time, datetime.now(UTC)))
]
"""When something comes: now, where it should have begun already."""


class MirrorBody(BaseModel):
    """How far the record on the PDS is from the log."""

    state: str = Field(description="delivered, pending, parked, held, detached or rejected")
    generation: int
    acked_generation: int
    reason: str | None
    next_attempt_at: Upcoming


class TrackBody(Versioned):
    """A track. `version` is also its ETag; `audio_storage` says `both` once the record on the PDS names the blob."""

    title: str
    artist: str
    artist_did: str
    artist_handle: str
    album: str | None
    features: list[FeatureBody]
    tags: list[str]
    description: str | None
    support_gate: SupportGateBody | None
    unlisted: bool
    downloads: str = Field(
        description="who may download the audio, of those who may play it: open, ask, supporters or off"
    )
    comments: bool = Field(description="whether people may comment on it")
    self_labels: list[str]
    file_id: str
    file_type: str
    duration: int | None
    audio_url: str
    audio_kept: bool = Field(
        description="whether its audio can be played; of a past state, whether it still can"
    )
    audio_kept_until: datetime | None = Field(
        description="of audio that the track no longer has: until when it is kept at least"
    )
    image_url: str | None
    thumbnail_url: str | None
    audio_storage: str
    pds_blob_cid: str | None
    atproto_record_uri: str
    atproto_record_cid: str | None
    created_at: str
    updated_at: datetime
    deleted_at: datetime | None
    taken_down_at: datetime | None = Field(
        description="since when an operator hides the track from all but its owner and admins"
    )
    is_liked: bool = Field(description="whether the caller likes it")
    like_count: int
    comment_count: int
    mirror: MirrorBody


def track_body(view: TrackView, mirror: Mirror, beside: Any, urls: RecordUrls) -> TrackBody:
    """Return the body, given the track's mirror and what `_beside` has selected."""
    artwork, since = view.artwork, beside.blob_since
    has_record = view.deleted_at is None and view.record_missing_since is None
    has_blob = view.blob is not None and view.support_gate is None and since is not None
    on_pds = has_record and has_blob and mirror.acked_generation >= since
    return body_from(
        TrackBody,
        view,
        id=view.track_id,
        version=view.visible_version,
        artist_did=view.did,
        artist_handle=beside.handle or INVALID_HANDLE,
        file_id=view.audio.cid,
        file_type=view.audio.file_type,
        duration=view.audio.duration,
        audio_url=urls.audio(cast("Track", view)),  # the view has the attributes that the address needs
        audio_kept=True,
        audio_kept_until=None,
        image_url=urls.artwork(artwork.cid) if artwork else view.image_url,
        thumbnail_url=urls.artwork(artwork.thumbnail_cid) if artwork else None,
        audio_storage="both" if on_pds else "service",
        pds_blob_cid=view.audio.cid if on_pds else None,
        atproto_record_uri=mirror.record_uri,
        atproto_record_cid=mirror.record_cid,
        is_liked=beside.is_liked,
        like_count=beside.like_count,
        comments=beside.has_comments,
        comment_count=beside.comment_count,
        mirror=mirror,
    )


BRINGS_BLOB: Final = tuple(
    event.__name__
    for event in (
        Track.Adopted,
        Track.BlobMigrated,
        Track.SupportGateRemoved,
        Track.Undeleted,
        Track.RecordRestored,
    )
)
"""The events that put the blob into a record."""
IS_OF_TRACK: Final = sa.and_(
    history.c.bucket == tracks.c.bucket,
    history.c.track_id == tracks.c.track_id,
    history.c.kind == Track.TOPIC,
)
BLOB_SINCE: Final = (
    sa.select(sa.func.max(history.c.position))
    .where(IS_OF_TRACK, sa.or_(*(history.c.type == brings for brings in BRINGS_BLOB)))
    .scalar_subquery()
)
_BLOB_SINCE_IF_ANY: Final = sa.case((tracks.c.blob_ref.is_not(None), BLOB_SINCE))
"""So that no long history is searched for a blob that the track does not have."""


def _beside(
    columns: Iterable[sa.ColumnElement[Any]],
    blob_since: sa.ColumnElement[Any],
    these: Callable[[sa.ColumnElement[int]], sa.ColumnElement[bool]],
) -> sa.Select[*tuple[Any, ...]]:
    """Select columns of these tracks, and beside them what `track_body` needs."""
    same = sa.and_(tracks.c.did == target.did, tracks.c.track_id == target.subject_id)
    counted = sa.and_(track_count.c.did == tracks.c.did, track_count.c.track_id == tracks.c.track_id)
    targets = TARGETS_AT_WORK.join(tracks, same).outerjoin(track_count, counted)
    # apart: its rows may lie on another node than the tracks (ADR 55)
    by_viewer = (likes.c.did == sa.bindparam("viewer"), these(likes.c.track_id), IS_LIVE)
    liked = sa.select(likes.c.track_id).where(*by_viewer).cte("liked")
    has_comments = sa.func.coalesce(tracks.c.comments, account.c.comments, sa.false())
    counted_comments = sa.case((has_comments, track_count.c.comments))
    counts = (
        sa.func.coalesce(each, sa.literal_column("0")).label(name)
        for name, each in (("like_count", track_count.c.likes), ("comment_count", counted_comments))
    )
    return (
        sa.select(
            *(*columns, *MIRROR_COLUMNS, account.c.handle, blob_since.label("blob_since"), *counts),
            has_comments.label("has_comments"),
            sa.exists().where(liked.c.track_id == tracks.c.track_id).label("is_liked"),
        )
        .select_from(targets.outerjoin(account, account.c.did == tracks.c.did))
        .where(these(tracks.c.track_id), target.kind == Track.TOPIC, IS_SHOWN)
        .order_by(target.former)
    )


NO_VIEWER: Final = ""
"""Stands for the DID of a caller who has not signed in: no account has it, and no like is its."""
_KEY: Final = (tracks.c.track_id, tracks.c.did, tracks.c.rkey)


def _beside_one(columns: Iterable[sa.ColumnElement[Any]], blob_since: Any, track_id: str, place: str) -> Any:
    """Select them of the track whose id, and DID or bucket, these parameters are."""
    of_track = _beside(columns, blob_since, lambda column: column == sa.bindparam(track_id))
    return of_track.where(tracks.c.bucket == bucket_param(place))


_ONE: Final = Prepared(lambda _: _beside_one(tracks.c, _BLOB_SINCE_IF_ANY, "track_id", "place"))
BESIDE[Track] = Prepared(lambda _: _beside_one(_KEY, _BLOB_SINCE_IF_ANY, "subject_id", "did"))
_SOME: Final = Prepared(
    lambda dialect: _beside(_KEY, _BLOB_SINCE_IF_ANY, lambda column: among(column, "track_ids", dialect))
)
_PAST: Final = Prepared(lambda _: _beside_one(_KEY, BLOB_SINCE, "track_id", "place"))


def track_bodies(
    connection: sa.Connection, views: Sequence[TrackView], urls: RecordUrls, viewer: str | None
) -> list[TrackBody]:
    """Return the bodies of tracks as they are now, in their order."""
    these = {"track_ids": [view.track_id for view in views], "viewer": viewer or NO_VIEWER}
    return _bodies(views, _SOME.start(connection, these).all(), urls)


def past_track_body(
    connection: sa.Connection, view: TrackView, urls: RecordUrls, viewer: str | None
) -> TrackBody:
    """Return the body of a track as it was; its mirror is the current one."""
    this = {"place": view.did, "track_id": view.track_id, "viewer": viewer or NO_VIEWER}
    return _bodies([view], _PAST.start(connection, this).all(), urls)[0]


def one_track(connection: sa.Connection, track_id: int, urls: RecordUrls, viewer: str | None) -> TrackBody:
    """Return one track's body, even of a deleted one; raises TrackNotFoundError."""

    def read(bucket: int) -> list[Any]:
        this = {"track_id": track_id, "place": bucket, "viewer": viewer or NO_VIEWER}
        return _ONE.start(connection, this).all()

    rows = found_by_id(connection, track_id, read)
    if not rows:
        raise TrackNotFoundError
    return _bodies([TrackView.from_row(rows[0])], rows, urls)[0]


def mirror_of(connection: sa.Connection, did: str, track_id: int) -> Mirror:
    return mirrors(connection, did, Track.TOPIC, [track_id])[track_id]


def track_now(reader: SubjectReader, subject: Subject) -> TrackBody:
    return one_track(reader.connection, subject.id, reader.services.urls, reader.did)


def saved_track(reader: SubjectReader, subject: Subject) -> TrackBody:
    """Return the body for a command that changes nothing in the mirror after it has saved the track."""
    if (saved := reader.saved(subject)) is None:
        return track_now(reader, subject)
    track, beside = saved
    return _bodies([TrackView.of(of_class(Track, track))], beside, reader.services.urls)[0]


def _bodies(views: Sequence[TrackView], rows: Sequence[Any], urls: RecordUrls) -> list[TrackBody]:
    mirror_of, beside = mirrors_in(rows), {row.track_id: row for row in rows}
    return [track_body(view, mirror_of[view.track_id], beside[view.track_id], urls) for view in views]


class DeletedBody(BaseModel):
    """The track is deleted; `mirror` says how far its record on the PDS is."""

    message: str
    mirror: MirrorBody


def created_track(reader: SubjectReader, subject: Subject) -> CommandResult:
    return result_of(saved_track(reader, subject), 201, Location=f"/tracks/{subject.id}")


def changed_track(reader: SubjectReader, subject: Subject) -> CommandResult:
    return result_of(saved_track(reader, subject))


def deleted_track(reader: SubjectReader, subject: Subject) -> CommandResult:
    mirror = saved_track(reader, subject).mirror.model_dump(mode="json")
    return CommandResult(200, {"message": "track deleted successfully", "mirror": mirror}, {})
