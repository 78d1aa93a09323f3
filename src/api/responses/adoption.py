"""The progress of an adoption as JSON."""

from datetime import datetime
from typing import Final

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection

from api.json_response import ListedUri
from eventstore.jobs.table import JobState, state_of
from replay.adoption.jobs import adoption_of, progress_of


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


def adoption_body(connection: Connection, did: str) -> AdoptionBody:
    row = adoption_of(connection, did)
    if row is None:
        return NOTHING
    state = state_of(row)
    progress = vars(progress_of(row._mapping))  # noqa: SLF001
    return AdoptionBody(
        state=state,
        requested_at=row.requested_at,
        ended_at=row.ended_at,
        next_attempt_at=row.due if state is JobState.WAITING and row.problem is not None else None,
        problem=row.problem,
        **progress,
    )
