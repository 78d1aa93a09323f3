"""Three versions of a record as JSON: what the log wants, what its PDS confirmed last, and what the PDS has now."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field

from api.responses.mirror import DesiredBody
from outbox.repo.record_reads import PresentRecord
from outbox.views.comparison import KnownRecord, field_versions


class ConfirmedBody(BaseModel):
    """What the PDS confirmed last: the newest event in it, and its commit. Without a CID there is no record."""

    generation: int
    cid: str | None
    at: datetime | None
    rev: str | None


class PresentBody(BaseModel):
    """What the PDS has: read at this time, up to 5 seconds ago; without a CID there is no record."""

    at: datetime
    cid: str | None
    problem: str | None = Field(description="why the PDS could not be asked; null when it answered")


class ComparedFieldBody(BaseModel):
    """A field of the record in the three versions; null is no value."""

    field: str
    own: bool = Field(
        description="whether this service writes it; other fields stay as other clients left them"
    )
    wanted: Any
    confirmed: Any
    present: Any
    differs: bool


class ComparisonBody(BaseModel):
    """What the log wants of a record, what the PDS confirmed last, and what it has now; differing fields are marked."""

    track_id: int
    record_uri: str
    state: str
    reason: str | None
    wanted: DesiredBody
    confirmed: ConfirmedBody
    present: PresentBody
    fields: list[ComparedFieldBody]


def comparison_body(track_id: int, known: KnownRecord, present: PresentRecord) -> ComparisonBody:
    mirror, confirmed, remote = known.mirror, known.confirmed, present.remote
    body = None if remote is None else remote.body or {}
    return ComparisonBody(
        track_id=track_id,
        record_uri=known.key.uri,
        state=mirror.state,
        reason=mirror.reason,
        wanted=DesiredBody(op=mirror.desired_op, generation=mirror.generation),
        confirmed=ConfirmedBody(
            generation=confirmed.generation, cid=confirmed.cid, at=confirmed.at, rev=confirmed.rev
        ),
        present=PresentBody(
            at=present.at, cid=remote.cid if remote is not None else None, problem=present.problem
        ),
        fields=[ComparedFieldBody(**vars(each)) for each in field_versions(known, body)],
    )
