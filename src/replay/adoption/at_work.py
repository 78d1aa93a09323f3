"""The adoptions of all accounts that wait, run or have failed."""

from collections.abc import Mapping
from typing import Final

from sqlalchemy import Connection, RowMapping, Text, and_, literal, select

from eventstore.counting import count_up_to_limit
from replay.adoption.jobs import IS_AT_WORK, adoption, job
from replay.adoption.states import AdoptionState

_CONDITIONS: Final = {
    AdoptionState.RUNNING: and_(job.ended_at.is_(None), job.lease_owner.is_not(None)),
    AdoptionState.WAITING: and_(job.ended_at.is_(None), job.lease_owner.is_(None)),
    AdoptionState.FAILED: and_(job.ended_at.is_not(None), job.problem.is_not(None)),
}
_SHOWN: Final = [each for each in adoption.columns if each is not job.problems]
"""What cannot be adopted may be long, and is for the account's owner."""


def adoption_counts(connection: Connection) -> Mapping[AdoptionState, int]:
    """Count them by state, each up to MAX_COUNTED."""
    return {
        state: count_up_to_limit(connection, select(job.did).where(IS_AT_WORK, condition))
        for state, condition in _CONDITIONS.items()
    }


def adoptions_at_work(connection: Connection, *, of_each: int) -> list[RowMapping]:
    """Return up to `of_each` of each state, those that were requested last; running ones first, failed ones last."""
    found: list[RowMapping] = []
    for state, condition in _CONDITIONS.items():
        newest = select(*_SHOWN, literal(state, Text).label("state")).where(IS_AT_WORK, condition)
        found += connection.execute(newest.order_by(job.requested_at.desc()).limit(of_each)).mappings().all()
    return found
