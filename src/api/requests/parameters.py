"""Path and query parameters, If-Match and Prefer: ids, listed values, moments, cursors and lengths of pages, AT-URIs, versions."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import Depends, Path, Request
from pydantic import AfterValidator, AwareDatetime, Field, GetCoreSchemaHandler, StringConstraints
from pydantic_core import CoreSchema, core_schema
from sqlalchemy import Connection

from aggregates.errors import InvalidFieldError
from aggregates.track import Track
from eventstore.untrusted import whole_number
from outbox.mirror.namespace_moves import subject_with_record
from outbox.pds.client import RecordKey

MAX_ID: Final = 2**63 - 1
NO_TRACK: Final = 0
"""An id that no track has."""


def number_of(text: str) -> int | None:
    """Return the number that a page got as a text; None where it is none."""
    return whole_number(text)


async def track_id_in_path(track_id: Annotated[int, Path(description="The `id` of a track.")]) -> int:
    """Return the id; one that no database could hold becomes the id of no track, so that 401 goes before 404."""
    return track_id if 0 < track_id <= MAX_ID else NO_TRACK


async def repair_id_in_path(repair_id: Annotated[int, Path(description="The `id` of a repair.")]) -> int:
    """Return the id, as `track_id_in_path` does."""
    return await track_id_in_path(repair_id)


async def job_id_in_path(job_id: Annotated[int, Path(description="The `id` of a job.")]) -> int:
    """Return the id, as `track_id_in_path` does."""
    return await track_id_in_path(job_id)


TrackId = Annotated[int, Depends(track_id_in_path)]
RepairId = Annotated[int, Depends(repair_id_in_path)]
JobId = Annotated[int, Depends(job_id_in_path)]


@dataclass(frozen=True)
class OneOf:
    """For `Annotated[str, OneOf(values)]`."""

    values: tuple[str, ...]

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        values = [str(value) for value in self.values]
        message = f"must be one of: {', '.join(values)}"
        return core_schema.custom_error_schema(
            core_schema.literal_schema(values), custom_error_type="one_of", custom_error_message=message
        )


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("not between the years 1 and 9999 in UTC") from None


Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]


DEFAULT_PAGE_LENGTH: Final = 50
MAX_PAGE_LENGTH: Final = 100
PageLength = Annotated[
    int | None, Field(description=f"1 to {MAX_PAGE_LENGTH}; {DEFAULT_PAGE_LENGTH} when absent")
]
Cursor = Annotated[str | None, Field(description="the `cursor` of the page before")]
PageOrLines = Annotated[
    int | None,
    Field(
        description=f"1 to {MAX_PAGE_LENGTH}, {DEFAULT_PAGE_LENGTH} when absent; as NDJSON, how many lines in all"
    ),
]


def cursor_of(text: str | None) -> int | None:
    """Parse a cursor, which is opaque to callers; raises InvalidFieldError."""
    if text is None:
        return None
    if (position := whole_number(text)) is None:
        raise InvalidFieldError("cursor", "must be one that a page before gave")
    return position


def page_length(limit: int | None) -> int:
    """Return the length of a page, 50 unless the caller chose one; raises InvalidFieldError above 100."""
    if limit is None:
        return DEFAULT_PAGE_LENGTH
    if not 1 <= limit <= MAX_PAGE_LENGTH:
        raise InvalidFieldError("limit", f"must be 1 to {MAX_PAGE_LENGTH}")
    return limit


def line_count(limit: int | None) -> int | None:
    """Return how many lines to stream, None for all; raises InvalidFieldError."""
    if limit is not None and limit < 1:
        raise InvalidFieldError("limit", "must be 1 or more")
    return limit


URI: Final = re.compile(r"at://(did:[a-z]+:[\w.:%-]+)/([\w.-]+)/([\w.~:-]+)", re.ASCII)


def track_at(connection: Connection, uri: str) -> int | None:
    """Return the track, a deleted one too, whose record has this URI, or had it before it changed namespace.

    None for anything else, and where a handle names the account.
    """
    found = URI.fullmatch(uri)
    subject = None if found is None else subject_with_record(connection, RecordKey(*found.groups()))
    return subject.id if subject is not None and subject.kind == Track.TOPIC else None


Name = Annotated[str, StringConstraints(max_length=2048, pattern=r"^[^\x00]*$")]
"""Text that every database can store."""
DRY_RUN: Final[bool] = Field(False, description="whether to count only")


MAX_WAIT_SECONDS: Final = 30


def versions_of(if_match: str | None) -> frozenset[int] | None:
    """Return the versions of If-Match, or None for any version; a tag that is no version matches nothing."""
    if if_match is None or if_match.strip() == "*":
        return None
    # a weak tag, W/"1", is no number: it never matches in If-Match (RFC 9110, 13.1.1)
    versions = (whole_number(tag.strip().strip('"')) for tag in if_match.split(","))
    return frozenset(version for version in versions if version is not None)


def wait_of(prefer: list[str]) -> int | None:
    """Return the seconds of `Prefer: wait`, at most 30; None without that preference."""
    for preference in ",".join(prefer).split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        seconds = whole_number(value.strip().strip('"'))
        if name.strip().lower() == "wait" and seconds is not None:
            return min(seconds, MAX_WAIT_SECONDS)
    return None


async def preferred_wait(request: Request) -> int | None:
    return wait_of(request.headers.getlist("prefer"))


WaitPreference = Annotated[int | None, Depends(preferred_wait)]
"""The seconds of `Prefer: wait`."""
