"""The progress of what an account has asked for as JSON: an adoption, copies of all audio to the PDS, its deletion."""

from datetime import datetime
from typing import Final

import sqlalchemy as sa
from pydantic import BaseModel, ConfigDict, Field

from aggregates.tracks.track import Track
from api.json_response import ListedUri, body_from
from api.responses.track import BLOB_SINCE
from eventstore.jobs.queue import job_of
from eventstore.jobs.table import JobState, state_of
from eventstore.sql.database import Database, count_rows
from identity.accounts.credentials import count_usable_tokens
from identity.sessions.session_store import is_connected
from outbox.mirror.states import LaneState
from outbox.mirror.tables import target
from outbox.operations.account_deletion import PendingRemovals, adopted_alone, remains
from outbox.views.overview import lane_of
from projections.media_references import cids_of
from projections.tracks.queries import AUDIO_COPY_STATE, AudioCopyState, copy_counts, tracks_in_state
from projections.tracks.table import tracks
from replay.adoption.adopt import ADOPTION
from replay.adoption.record import Progress


class AdoptionProblemBody(BaseModel):
    """A problem with a record. `field` and `limit` belong to invalid_field, `reason` to bytes_unavailable."""

    model_config = ConfigDict(extra="allow")

    uri: ListedUri
    error: str = Field(description="invalid_field, bytes_unavailable, artwork_unavailable or blob_missing")
    message: str
    adopted: bool = Field(description="whether it became a track nevertheless")


class AdoptionBody(BaseModel):
    """Of the records `found` at the PDS, so many were known here before, became tracks, or cannot.

    `problem` says why the whole could not go on; it is tried again then. Up to 500 problems are listed.
    """

    state: str = Field(description="idle, waiting, running, done or failed")
    requested_at: datetime | None
    ended_at: datetime | None
    next_attempt_at: datetime | None
    found: int
    known: int
    adopted: int
    refused: int
    problem: str | None
    problems: list[AdoptionProblemBody]


NOTHING: Final = AdoptionBody(
    state=JobState.IDLE, requested_at=None, ended_at=None, next_attempt_at=None,
    found=0, known=0, adopted=0, refused=0, problem=None, problems=[],
)  # fmt: skip


def adoption_body(connection: sa.Connection, did: str) -> AdoptionBody:
    row = job_of(connection, ADOPTION, did)
    if row is None:
        return NOTHING
    state = state_of(row)
    return body_from(
        AdoptionBody,
        row,
        state=state,
        next_attempt_at=row.due if state is JobState.WAITING and row.problem is not None else None,
        **vars(Progress(**(row.progress or {}))),
    )


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


def migration_report(connection: sa.Connection, did: str) -> MigrationBody:
    counts = copy_counts(connection, did)
    by_state = {state: count for (state, _), count in counts.items()}
    uploaded = by_state.get(AudioCopyState.UPLOADED, 0)
    saved = _saved(connection, did) if uploaded else 0
    lane = lane_of(connection, did)
    return MigrationBody(
        saved=saved,
        pending=by_state.get(AudioCopyState.WANTED, 0) + uploaded - saved,
        failed={
            str(reason): count for (state, reason), count in counts.items() if state is AudioCopyState.FAILED
        },
        skipped={state.value: by_state[state] for state in SKIPPED if state in by_state},
        unasked=by_state.get(AudioCopyState.UNASKED, 0),
        waits_for=None if lane is None or lane.mirror_state == LaneState.READY else lane.mirror_state,
        failures=[
            body_from(FailedBody, row, reason=row.blob_failure)
            for row in tracks_in_state(connection, did, AudioCopyState.FAILED, limit=MOST_FAILURES)
        ],
    )


def _saved(connection: sa.Connection, did: str) -> int:
    """Count the tracks whose record the PDS confirmed after the newest event that put the blob into it."""
    same = (target.did == tracks.c.did, target.kind == Track.TOPIC, target.subject_id == tracks.c.track_id)
    names_blob = (AUDIO_COPY_STATE == AudioCopyState.UPLOADED, tracks.c.record_missing_since.is_(None))
    is_confirmed = (~target.former, target.acked_gen >= BLOB_SINCE)
    return count_rows(connection, tracks.c.did == did, *same, *names_blob, *is_confirmed)


HERE: Final = "/me"


class RecordsBody(BaseModel):
    """What is to go from the PDS. `untouched` are those that we have never written: ones that were taken over stay."""

    to_remove: int
    removed: int
    untouched: int
    waiting: list[PendingRemovals]


class LeavingBody(BaseModel):
    """Since when the account leaves, and what of it is still there; when nothing waits, the rest goes within minutes.

    `waits_for` says why the lane does not go on: after auth_required, signing in again lets it.
    """

    since: datetime
    records: RecordsBody
    adopted: int = Field(
        description="how many records stay since other programs made them: they go too if DELETE /me names this number"
    )
    waits_for: str | None
    connected: bool = Field(description="whether there is a login at the PDS")
    tokens: int = Field(description="valid sessions and tokens")
    media: int = Field(description="files that are released at the end; those that others also have stay")
    look_at: str = Field(description="where to look again; 401 once the account is gone")


def leaving_body(database: Database, connection: sa.Connection, did: str, since: datetime) -> LeavingBody:
    now = database.now(connection)
    left = remains(connection, did, since, now)
    return LeavingBody(
        since=since,
        records=body_from(RecordsBody, left),
        adopted=adopted_alone(connection, did),
        waits_for=left.waits_for if left.waiting else None,
        connected=is_connected(connection, did),
        tokens=count_usable_tokens(connection, now, did),
        media=len(cids_of(connection, did)),
        look_at=HERE,
    )
