"""Reads a subject as it was, after the event of a version or at a time, for its owner and operators."""

from pydantic import BaseModel, Field

from aggregates.errors import InvalidFieldError
from aggregates.track import Track
from api.requests.parameters import Moment
from api.services import Services
from application.errors import NotAuthenticatedError
from application.subjects import A, On, past_of, require_reader
from identity.accounts.credentials import Principal
from projections.tracks.table import TrackView


class AsOf(BaseModel):
    """As of when to read a track or a list: after the event of a version of its history, or at a time."""

    version: int | None = Field(None, description="a `version` of its history")
    at: Moment | None = Field(None, description="a time, with its offset; instead of a version")


def past_state(services: Services, on: On[A], wanted: AsOf, caller: Principal | None) -> tuple[A, A]:
    """Return a subject as it is and as it was, for its owner and operators; raises NotAuthenticatedError, or as `require_reader`."""
    if caller is None:
        raise NotAuthenticatedError
    if wanted.version is not None and wanted.at is not None:
        raise InvalidFieldError("at", "either a version or a time")
    with services.database.read() as connection:
        now = require_reader(services.log, connection, caller, on)
        version = now.version if wanted.version is None else wanted.version
        return now, past_of(services.log, connection, now.did, on, wanted.at or version)


def past_views(
    services: Services, track_id: int, wanted: AsOf, caller: Principal | None
) -> tuple[TrackView, TrackView]:
    """Return a track as it is and as it was; raises as `past_state`."""
    now, then = past_state(services, On(Track, track_id), wanted, caller)
    return TrackView.of(now), TrackView.of(then)
