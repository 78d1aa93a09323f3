"""Reads a subject as it was, after the event of a version or at a time: for its owner, operators, and who has a track's key."""

from collections.abc import Collection, Mapping
from typing import Final

import sqlalchemy as sa
from pydantic import BaseModel, Field

from aggregates.errors import InvalidFieldError
from aggregates.tracks.track import Track
from api.middleware.request_threads import in_thread
from api.pipeline.command_request import CommandRequest
from api.requests.body import Body, fields_as
from api.requests.fields import RevertFields
from api.requests.parameters import Moment
from api.services import Services
from application.errors import NotAuthenticatedError
from application.subjects import A, On, find, past_of, require_reader, require_revertible
from identity.accounts.credentials import Principal
from projections.tracks.table import TrackView

OF_KEY: Final = "the `listening_key` that the owner has set, in place of a sign-in"


class AsOf(BaseModel):
    """As of when to read a track or a list: after the event of a version of its history, or at a time."""

    version: int | None = Field(None, description="a `version` of its history")
    at: Moment | None = Field(None, description="a time, with its offset; instead of a version")


class Listening(AsOf):
    key: str | None = Field(None, description=OF_KEY)


def require_listener(
    services: Services,
    connection: sa.Connection,
    on: On[A],
    caller: Principal | None,
    key: str | None = None,
) -> A:
    """Return a subject for its owner, operators and who has its key; raises NotAuthenticatedError, or as `require_reader`."""
    found = find(services.log, connection, on) if key else None
    if isinstance(found, Track) and found.opens_with(key or ""):
        return found
    if caller is None:
        raise NotAuthenticatedError
    return require_reader(services.log, connection, caller, on)


def past_state(
    services: Services, on: On[A], wanted: AsOf, caller: Principal | None, key: str | None = None
) -> tuple[A, A]:
    """Return a subject as it is and as it was; raises as `require_listener`."""
    if wanted.version is not None and wanted.at is not None:
        raise InvalidFieldError("at", "either a version or a time")
    with services.database.read() as connection:
        now = require_listener(services, connection, on, caller, key)
        version = now.version if wanted.version is None else wanted.version
        return now, past_of(services.log, connection, now.did, on, wanted.at or version)


async def past_fields(
    request: CommandRequest, on: On[A], body: Body, fields: Collection[str], kept_because: Mapping[str, str]
) -> tuple[A, Collection[str]]:
    """Return the subject as it was at the version that a revert wants, and which of the fields are to be so again."""
    wanted = fields_as(RevertFields, body)
    some = wanted.fields if "fields" in wanted.model_fields_set else fields
    require_revertible(some, fields, kept_because)

    def past() -> A:
        with request.services.database.read() as connection:
            return past_of(request.services.log, connection, request.principal.did, on, wanted.to_version)

    return await in_thread(past), some


def past_views(
    services: Services, track_id: int, wanted: AsOf, caller: Principal | None, key: str | None = None
) -> tuple[TrackView, TrackView]:
    """Return a track as it is and as it was; raises as `past_state`."""
    now, then = past_state(services, On(Track, track_id), wanted, caller, key)
    return TrackView.of(now), TrackView.of(then)
