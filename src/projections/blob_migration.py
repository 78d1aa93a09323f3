"""Which of an account's tracks may have a copy of their audio on the PDS, and how far each copy is."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Text, and_, case, func, literal, select

from eventstore.states import State, Transition
from projections.tracks.table import LIVE, tracks

column: Final = tracks.c


class AudioCopyState(State):
    """States of the copy of a track's audio on the PDS."""

    DELETED = "deleted", "the track is deleted"
    GATED = "gated", "the track is for supporters only: its audio stays off the PDS"
    UPLOADED = "uploaded", "the PDS has the audio"
    WANTED = "wanted", "requested, and not uploaded yet"
    FAILED = "failed", "the PDS refused the audio"
    UNASKED = "unasked", "never requested for this audio"


_OPEN: Final = (AudioCopyState.UNASKED, AudioCopyState.WANTED, AudioCopyState.FAILED, AudioCopyState.UPLOADED)
_ASKED: Final = (AudioCopyState.WANTED, AudioCopyState.FAILED, AudioCopyState.UPLOADED)
_LIVE: Final = (*_OPEN, AudioCopyState.GATED)

TRANSITIONS: Final = (
    Transition(None, AudioCopyState.UNASKED, "a track is registered or adopted"),
    Transition(None, AudioCopyState.GATED, "a track is registered or adopted with a gate"),
    Transition(None, AudioCopyState.UPLOADED, "a track is adopted whose record names the blob"),
    Transition(AudioCopyState.UNASKED, AudioCopyState.WANTED, "the owner requests the copy"),
    Transition(AudioCopyState.FAILED, AudioCopyState.WANTED, "the owner requests the copy again"),
    Transition(AudioCopyState.WANTED, AudioCopyState.UPLOADED, "the relay uploads the audio"),
    Transition(AudioCopyState.WANTED, AudioCopyState.FAILED, "the PDS refuses the audio for good"),
    Transition(
        AudioCopyState.UPLOADED,
        AudioCopyState.FAILED,
        "the PDS has lost the audio and refuses to take it again",
    ),
    *(Transition(each, AudioCopyState.UNASKED, "the owner replaces the audio") for each in _ASKED),
    *(Transition(each, AudioCopyState.GATED, "the owner sets a gate") for each in _OPEN),
    *(Transition(AudioCopyState.GATED, each, "the owner removes the gate") for each in _OPEN),
    *(Transition(each, AudioCopyState.DELETED, "the owner deletes the track") for each in _LIVE),
    *(Transition(AudioCopyState.DELETED, each, "the owner undeletes the track") for each in _LIVE),
)

IS_GATED: Final = and_(LIVE, column.support_gate.is_not(None))
HAS_FAILED: Final = and_(column.blob_failure.is_not(None), ~column.blob_requested)
IS_ELIGIBLE: Final = and_(
    LIVE, column.support_gate.is_(None), column.blob_ref.is_(None), ~column.blob_requested
)

AUDIO_COPY_STATE: Final = case(
    (~LIVE, literal(AudioCopyState.DELETED, Text)),
    (IS_GATED, literal(AudioCopyState.GATED, Text)),
    (column.blob_ref.is_not(None), literal(AudioCopyState.UPLOADED, Text)),
    (column.blob_requested, literal(AudioCopyState.WANTED, Text)),
    (HAS_FAILED, literal(AudioCopyState.FAILED, Text)),
    else_=literal(AudioCopyState.UNASKED, Text),
)


def eligible_tracks(
    connection: Connection, did: str, *, after: int, limit: int, failed_too: bool
) -> Sequence[int]:
    """Return ids of tracks whose audio may be copied to the PDS and was not requested, after an id, in their order."""
    query = select(column.track_id).where(column.did == did, column.track_id > after, IS_ELIGIBLE)
    if not failed_too:
        query = query.where(~HAS_FAILED)
    return connection.scalars(query.order_by(column.track_id).limit(limit)).all()


def copy_counts(connection: Connection, did: str) -> dict[tuple[AudioCopyState, str | None], int]:
    """Count an account's tracks by state; failed ones by their reason too."""
    reason: ColumnElement[Any] = case(
        (AUDIO_COPY_STATE == AudioCopyState.FAILED, column.blob_failure), else_=literal(None)
    )
    rows = connection.execute(
        select(AUDIO_COPY_STATE.label("state"), reason.label("failure"), func.count())
        .where(column.did == did)
        .group_by("state", "failure")
    )
    return {(AudioCopyState(state), reason): count for state, reason, count in rows}


def tracks_in_state(connection: Connection, did: str, state: AudioCopyState, *, limit: int) -> Sequence[Any]:
    """Return id, title and `blob_failure` of an account's tracks in this state, by id."""
    return connection.execute(
        select(column.track_id, column.title, column.blob_failure)
        .where(column.did == did, AUDIO_COPY_STATE.in_((state,)))
        .order_by(column.track_id)
        .limit(limit)
    ).all()
