"""The progress of copying an account's audio to its PDS as JSON."""

from typing import Any, Final

from pydantic import BaseModel, Field
from sqlalchemy import Connection, and_, func, select

from aggregates.track import Track
from api.responses.read_tracks import BRINGS_BLOB, IS_OF_TRACK
from outbox.mirror.states import LaneState
from outbox.mirror.tables import mirror_target
from outbox.views.overview import lane_of
from projections.blob_migration import AUDIO_COPY_STATE, AudioCopyState, copy_counts, tracks_in_state
from projections.history import history
from projections.tracks.table import tracks

MOST_FAILURES: Final = 100
SKIPPED: Final = (AudioCopyState.GATED, AudioCopyState.DELETED)


class FailedBody(BaseModel):
    """A track whose audio the PDS will not take, and why."""

    track_id: int
    title: str
    reason: str


class MigrationBody(BaseModel):
    """Counts of tracks. `saved` are those whose record at the PDS names the audio; `failures` lists up to 100."""

    requested: int = Field(0, description="copies that this request asked for; 0 in a report")
    saved: int
    pending: int
    failed: dict[str, int]
    skipped: dict[str, int]
    unasked: int
    waits_for: str | None
    failures: list[FailedBody]


def migration_report(connection: Connection, did: str) -> MigrationBody:
    """Count the account's audio: on the PDS, pending, refused or excluded."""
    counts = copy_counts(connection, did)
    by_state = {state: count for (state, _), count in counts.items()}
    uploaded = by_state.get(AudioCopyState.UPLOADED, 0)
    saved = _saved(connection, did) if uploaded else 0
    return MigrationBody(
        saved=saved,
        pending=by_state.get(AudioCopyState.WANTED, 0) + uploaded - saved,
        failed={
            str(reason): count for (state, reason), count in counts.items() if state is AudioCopyState.FAILED
        },
        skipped={state.value: by_state[state] for state in SKIPPED if state in by_state},
        unasked=by_state.get(AudioCopyState.UNASKED, 0),
        waits_for=_waits_for(connection, did),
        failures=[
            _failed(row)
            for row in tracks_in_state(connection, did, AudioCopyState.FAILED, limit=MOST_FAILURES)
        ],
    )


def _failed(row: Any) -> FailedBody:
    return FailedBody(track_id=row.track_id, title=row.title, reason=row.blob_failure)


def _saved(connection: Connection, did: str) -> int:
    """Count the tracks whose record the PDS confirmed after the newest event that put the blob into it."""
    brought = (
        select(func.max(history.c.position))
        .where(IS_OF_TRACK, history.c.type.in_(BRINGS_BLOB))
        .scalar_subquery()
    )
    confirmed = (
        select(func.count())
        .select_from(
            tracks.join(
                mirror_target,
                and_(
                    mirror_target.c.subject_id == tracks.c.track_id,
                    mirror_target.c.kind == Track.TOPIC,
                    ~mirror_target.c.former,
                ),
            )
        )
        .where(
            tracks.c.did == did,
            AUDIO_COPY_STATE == AudioCopyState.UPLOADED,
            tracks.c.record_missing_since.is_(None),
        )
        .where(mirror_target.c.acked_gen >= brought)
    )
    return connection.scalar(confirmed) or 0


def _waits_for(connection: Connection, did: str) -> str | None:
    """Return the reason that the account's lane is parked, if it is."""
    lane = lane_of(connection, did)
    if lane is None:
        return None
    return None if lane.mirror_state == LaneState.READY else str(lane.mirror_state)
