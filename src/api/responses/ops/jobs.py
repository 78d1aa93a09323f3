"""Jobs as JSON, of whatever kind."""

from datetime import datetime

from pydantic import BaseModel, Field
from sqlalchemy import RowMapping

from eventstore.jobs.table import JobState


class JobRow(BaseModel):
    """A job. `attempts` are those begun in a row; `failing_since` and `first_error` are null while it does not fail."""

    id: int
    kind: str
    subject: str = Field(
        description="what it works on: an account, a source of media, the name of periodic work"
    )
    account: str = Field(description="whose turns it takes")
    host: str = Field(description="that it sends requests to; empty for none, or several")
    state: JobState
    requested_at: datetime
    due: datetime = Field(description="when it is tried next")
    began_at: datetime | None = Field(description="of its newest attempt")
    began_by: str | None = Field(description="the process that began it")
    attempts: int
    progress: dict[str, int] | None
    failing_since: datetime | None
    first_error: str | None
    problem: str | None = Field(description="why it failed the last time")


class JobsBody(BaseModel):
    """Some jobs, the newest first, and the cursor of the next page when there is one."""

    items: list[JobRow]
    cursor: str | None


def job_row(row: RowMapping) -> JobRow:
    counts = {name: value for name, value in (row["progress"] or {}).items() if isinstance(value, int)}
    return JobRow.model_validate({**row, "progress": counts or None})
