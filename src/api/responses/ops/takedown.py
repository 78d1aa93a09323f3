"""Bodies of a takedown."""

from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, Field, StringConstraints

from api.responses.ops.fields import DRY_RUN, Name


class TakedownBody(BaseModel):
    """The reason to hide a track, or with `lift` to show it again; with `dry_run` nothing changes."""

    reason: Annotated[Name, StringConstraints(min_length=1)] = Field(description="why; the log keeps it")
    lift: bool = Field(False, description="whether to show the track again")
    bytes: bool = Field(
        default=False,
        description="whether to refuse its audio and cover from now on, to all accounts and until the takedown is lifted; "
        "tracks that have them already keep them",
    )
    dry_run: bool = DRY_RUN


class TakenDownBody(BaseModel):
    """Whether the track changed, or would, and since when it is hidden."""

    track_id: int
    taken_down_at: datetime | None
    affected: int
    dry_run: bool
