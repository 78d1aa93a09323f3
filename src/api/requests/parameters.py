"""What a route takes: the class of routes that refuses names it does not declare; path and query parameters, If-Match and Prefer."""

import re
import threading
from base64 import urlsafe_b64decode
from collections.abc import Callable, Collection, Coroutine, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial, wraps
from inspect import iscoroutinefunction
from typing import Annotated, Any, Final, get_origin

import sqlalchemy as sa
from fastapi import Depends, Path, Request, Response
from fastapi.dependencies.utils import get_flat_params
from fastapi.params import ParamTypes
from fastapi.routing import APIRoute
from pydantic import AfterValidator, AwareDatetime, BaseModel, Field, GetCoreSchemaHandler, StringConstraints
from pydantic_core import CoreSchema, core_schema
from starlette.routing import compile_path, get_name

from aggregates.errors import InvalidFieldError
from aggregates.published import Published
from api.errors import UnknownFieldError, UnknownParameterError, UnparsableError
from api.json_response import AsciiJsonResponse
from api.middleware.request_threads import in_thread
from api.openapi import REFUSALS, calls_of, errors
from eventstore.untrusted import whole_number
from outbox.mirror.namespace_moves import subject_with_record
from outbox.pds.client import RecordKey
from outbox.record.kind import MAX_URI_CHARACTERS

MAX_ID: Final = 2**63 - 1
NO_TRACK: Final = 0
"""An id that no track has."""


number_of: Final = whole_number
"""For pages, which get numbers as texts."""


Id = Annotated[int, AfterValidator(lambda number: number if 0 < number <= MAX_ID else NO_TRACK)]
"""One that no database could hold becomes the id of none, so that 401 goes before 404."""
TrackId = Annotated[Id, Path(description="The `id` of a track.")]
CommentId = Annotated[Id, Path(description="The `id` of a comment.")]
ReleaseId = Annotated[Id, Path(description="The `id` of a release.")]
UploadId = Annotated[str, Path(description="The `upload_id` of an upload to the release.", max_length=64)]
RepairId = Annotated[Id, Path(description="The `id` of a repair.")]
JobId = Annotated[Id, Path(description="The `id` of a job.")]


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
    int | None,
    Field(
        description=f"how many rows at most, 1 to {MAX_PAGE_LENGTH}, {DEFAULT_PAGE_LENGTH} when absent; a page ends at 1 MB as well"
    ),
]
Name = Annotated[str, StringConstraints(max_length=2048, pattern=r"^[^\x00]*$")]
"""Text that every database can store."""
PageOrLines = Annotated[
    int | None,
    Field(
        description=f"1 to {MAX_PAGE_LENGTH}, {DEFAULT_PAGE_LENGTH} when absent; as NDJSON, how many lines in all"
    ),
]


class PageQuery(BaseModel):
    """After which row a page begins, and how long it is."""

    cursor: Name | None = Field(None, description="the `cursor` of the page before")
    limit: PageLength = None


def decoded_cursor(text: str | None) -> str | None:
    """Return what a cursor stands for; raises InvalidFieldError."""
    if not text:
        return None
    try:
        found = urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
    except ValueError:
        found = ""
    if not found or "\0" in found:
        raise InvalidFieldError("cursor", "must be one that a page before gave")
    return found


def cursor_of(text: str | None) -> int | None:
    """Parse the cursor of a position or id; raises InvalidFieldError. Those of earlier versions are the number."""
    if text is None:
        return None
    position = whole_number(text)
    if position is None and (position := whole_number(decoded_cursor(text) or "")) is None:
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


URI: Final = re.compile(
    rf"(?!.{{{MAX_URI_CHARACTERS + 1}}})at://(did:[a-z]+:[\w.:%-]+)/([\w.-]+)/([\w.~:-]+)", re.ASCII
)


def subject_at(connection: sa.Connection, uri: str, kind: type[Published]) -> int | None:
    """Return the subject of this kind, a deleted one too, whose record has this URI, or had it before it changed namespace.

    None for anything else, and where a handle names the account.
    """
    found = URI.fullmatch(uri)
    subject = None if found is None else subject_with_record(connection, RecordKey(*found.groups()))
    return subject.id if subject is not None and subject.kind == kind.TOPIC else None


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


_analysing: Final = threading.RLock()


class DeferredRoute(APIRoute):
    """A route that FastAPI analyses when it is first used: to do that for every route takes a fifth of a start."""

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        self.path, self.endpoint, self.name = path, endpoint, get_name(endpoint)
        self.path_regex, self.path_format, self.param_convertors = compile_path(path)
        self.methods = set(options["methods"])
        self.include_in_schema = options["include_in_schema"]
        self._declared: Callable[[], None] | None = partial(self.analyse, path, endpoint, **options)

    def __getattr__(self, name: str) -> Any:
        """Analyse the route for what only that finds."""
        with _analysing:
            if (declared := vars(self).pop("_declared", None)) is not None:
                declared()
        if name in vars(self):
            return vars(self)[name]
        raise AttributeError(name)

    def analyse(
        self, path: str, endpoint: Callable[..., Any], *, openapi_extra: Any = None, **options: Any
    ) -> None:
        extra = openapi_extra() if callable(openapi_extra) else openapi_extra
        super().__init__(path, endpoint, openapi_extra=extra, **options)


class StrictRoute(DeferredRoute):
    """A route that refuses query parameters it does not declare, and repeated ones; `known_fields` has its body's fields.

    What its endpoint returns goes out as it is: a page calls the endpoint, and gets the same body.
    """

    def analyse(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        """Document also what a route is refused with for its parameters and its dependencies."""
        super().analyse(path, _answering(endpoint), **options)
        found = {422} | {each for call in calls_of(self.dependant) for each in REFUSALS.get(call, ())}
        found |= {400} if self.dependant.query_params else set()
        found |= {404} if self.dependant.path_params else set()
        self.responses = {**errors(*found), **self.responses}

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Check the names before the route's own handler reads the values."""
        handle = super().get_route_handler()
        known = {
            each.alias: get_origin(each.field_info.annotation) is list
            for each in get_flat_params(self.dependant)
            # the fields of a query's model are plain ones; every other parameter says where it is
            if getattr(each.field_info, "in_", ParamTypes.query) is ParamTypes.query
        }

        async def checked(request: Request) -> Response:
            query = request.query_params
            for name in query:
                if name not in known:
                    raise UnknownParameterError(name, known)
                if len(query.getlist(name)) > 1 and not known[name]:
                    raise UnparsableError(f"The parameter {name!r} is there twice. Nothing was changed.")
            return await handle(request)

        return checked


def _answering(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """Make a response of the body that an endpoint returns; FastAPI would check the body against its model once more."""
    if iscoroutinefunction(endpoint):

        @wraps(endpoint)
        async def answer_soon(**arguments: Any) -> Response:
            return _response(await endpoint(**arguments))

        return answer_soon

    @wraps(endpoint)
    async def answer(**arguments: Any) -> Response:
        return await in_thread(lambda: _response(endpoint(**arguments)))

    return answer


def _response(answer: BaseModel | Response) -> Response:
    return AsciiJsonResponse(answer) if isinstance(answer, BaseModel) else answer


def known_fields(request: Request) -> tuple[str, ...]:
    """Return the fields of the route's body, in the order in which OpenAPI documents them."""
    extra: dict[str, Any] = request.scope["route"].openapi_extra or {}
    contents = extra.get("requestBody", {}).get("content", {}).values()
    return tuple(
        dict.fromkeys(name for content in contents for name in content["schema"].get("properties", ()))
    )


def require_known_fields(names: Iterable[str], known: Collection[str], inside: str = "") -> None:
    """Raise UnknownFieldError for the first name that is not known; `inside` begins the names in a nested object."""
    for name in names:
        if name not in known:
            raise UnknownFieldError(name, known, inside)
