"""JSON responses in ASCII, so that any text can be sent."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any, Final, Generic, TypeVar

from fastapi import Response
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel
from pydantic_core import PydanticSerializationError

from eventstore.idempotency import CommandResult
from projections.pages import page_of

B = TypeVar("B", bound=BaseModel)
T = TypeVar("T")

MAX_URI_CHARACTERS: Final = 256
"""Of one in a list: a PDS chooses the keys of its records, up to 8 KB each."""


def shortened(text: str, most_characters: int) -> str:
    return text if len(text) <= most_characters else text[: most_characters - 1] + "\u2026"


ListedUri = Annotated[str, AfterValidator(lambda uri: shortened(uri, MAX_URI_CHARACTERS))]
"""The URI of a record; a long one ends in an ellipsis."""


class AsciiJsonResponse(JSONResponse):
    """Escapes everything but ASCII, so that a lone surrogate in an echoed value breaks no response."""

    def render(self, content: Any) -> bytes:
        if isinstance(content, BaseModel):
            try:
                return content.model_dump_json(ensure_ascii=True).encode("ascii")
            except PydanticSerializationError:  # a lone surrogate
                content = content.model_dump(mode="json")
        return json.dumps(content, separators=(",", ":")).encode("ascii")


def response_of(answer: CommandResult, headers: Mapping[str, str] | None = None) -> Response:
    if answer.status == HTTPStatus.NO_CONTENT:
        return Response(status_code=answer.status, headers=answer.headers)
    return AsciiJsonResponse(
        answer.body, status_code=answer.status, headers={**answer.headers, **(headers or {})}
    )


def body_from(body: type[B], source: Any, **others: Any) -> B:
    """Return a body with the source's attributes of the same names, and theirs in turn; `others` are the fields that are something else."""
    named = {name: getattr(source, name) for name in body.model_fields if name not in others}
    return body.model_validate({**named, **others}, from_attributes=True)


class Versioned(BaseModel):
    """A body whose `version` is also its ETag."""

    id: int
    version: int

    @property
    def headers(self) -> dict[str, str]:
        return {"ETag": f'"{self.version}"'}


def result_of(body: BaseModel, status: int = 200, **headers: str) -> CommandResult:
    """Return a body as a result that can be kept."""
    own = body.headers if isinstance(body, Versioned) else {}
    return CommandResult(status, body, {**own, **headers})


class Page(BaseModel, Generic[T]):
    """Some items, and the cursor of the next page when there is one."""

    items: list[T]
    cursor: str | None

    @classmethod
    def model_parametrized_name(cls, params: tuple[Any, ...]) -> str:
        """Name it in the OpenAPI document without brackets."""
        return f"{params[0].__name__}Page"


def opaque(cursor: object) -> str | None:
    """Return a cursor as callers get it: one of accounts that are divided may be more than a number some day."""
    return None if cursor is None else urlsafe_b64encode(str(cursor).encode()).decode().rstrip("=")


def cut(rows: Sequence[T], limit: int, key: Callable[[T], Any]) -> tuple[Sequence[T], str | None]:
    """Return a page of the rows, of which one more than `limit` was asked for, and the cursor of its last if more follow."""
    page, more_follow = page_of(rows, limit)
    return page, opaque(key(page[-1])) if more_follow else None


class MessageBody(BaseModel):
    """What was done."""

    message: str
