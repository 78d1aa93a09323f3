"""A track as it is and as it was, for those who may read its past."""

from typing import NamedTuple

from pydantic import BaseModel, Field

from aggregates.errors import InvalidFieldError
from api.requests.parameters import Moment
from api.services import Services
from application.authorization import require_reader
from application.errors import NotAuthenticatedError
from application.tracks.as_of import track_at_time, track_at_version
from identity.accounts.credentials import Principal
from projections.tracks.table import TrackView


class AsOf(BaseModel):
    """As of when to read a track: after the event of a version of its history, or at a time."""

    version: int | None = Field(None, description="a `version` of the track's history")
    at: Moment | None = Field(None, description="a time, with its offset; instead of a version")


class PastState(NamedTuple):
    """A track as it is, and as it was."""

    now: TrackView
    then: TrackView


def past_state(services: Services, track_id: int, wanted: AsOf, caller: Principal | None) -> PastState:
    """Return both states, for the owner and operators; raises NotAuthenticatedError, or as `require_reader`."""
    if caller is None:
        raise NotAuthenticatedError
    if wanted.version is not None and wanted.at is not None:
        raise InvalidFieldError("at", "either a version or a time")
    with services.database.read() as connection:
        now = require_reader(connection, caller, track_id)
        if wanted.at is not None:
            return PastState(now, TrackView.of(track_at_time(services.log, connection, track_id, wanted.at)))
        version = now.version if wanted.version is None else wanted.version
        return PastState(now, TrackView.of(track_at_version(services.log, connection, track_id, version)))
