"""Which of an account's tracks may have their audio on the PDS, and where the others are."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, case, func, literal, select

from projections.tracks import LIVE, tracks

column: Final = tracks.c

IS_GATED: Final = and_(LIVE, column.support_gate.is_not(None))
HAS_FAILED: Final = and_(column.blob_failure.is_not(None), ~column.blob_requested)
MAY_MOVE: Final = and_(LIVE, column.support_gate.is_(None))
IS_MISSING: Final = and_(MAY_MOVE, column.blob_ref.is_(None), ~column.blob_requested)

DELETED, GATED, UPLOADED, WANTED, FAILED, UNASKED = (
    "deleted", "gated", "uploaded", "wanted", "failed", "unasked",
)  # fmt: skip
STANDING: Final = case(
    (~LIVE, DELETED),
    (IS_GATED, GATED),
    (column.blob_ref.is_not(None), UPLOADED),
    (column.blob_requested, WANTED),
    (HAS_FAILED, FAILED),
    else_=UNASKED,
)
"""Where a track's audio is on its way."""


def eligible_tracks(
    connection: Connection, did: str, *, after: int, limit: int, failed_too: bool
) -> Sequence[int]:
    """Return tracks whose audio may be on the PDS, is not, and was not asked for, by id."""
    query = select(column.track_id).where(column.did == did, column.track_id > after, IS_MISSING)
    if not failed_too:
        query = query.where(~HAS_FAILED)
    return connection.scalars(query.order_by(column.track_id).limit(limit)).all()


def standings(connection: Connection, did: str) -> dict[tuple[str, str | None], int]:
    """Count an account's tracks by their standing, and failed ones by their reason too."""
    reason: ColumnElement[Any] = case((STANDING == FAILED, column.blob_failure), else_=literal(None))
    rows = connection.execute(
        select(STANDING.label("standing"), reason.label("failure"), func.count())
        .where(column.did == did)
        .group_by("standing", "failure")
    )
    return {(standing, reason): count for standing, reason, count in rows}


def tracks_standing(
    connection: Connection, did: str, standing: str, *, after: int = 0, limit: int
) -> Sequence[Any]:
    """Return tracks with this standing, by id, with their id, title and the reason of a failure."""
    return connection.execute(
        select(column.track_id, column.title, column.blob_failure)
        .where(column.did == did, STANDING.in_((standing,)), column.track_id > after)
        .order_by(column.track_id)
        .limit(limit)
    ).all()
