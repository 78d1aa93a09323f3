"""JSON responses in ASCII, so that any text can be sent."""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeVar

from fastapi import Response
from fastapi.responses import JSONResponse
from pydantic import AfterValidator, BaseModel
from pydantic_core import PydanticSerializationError

from eventstore.idempotency.results import CommandResult

B = TypeVar("B", bound=BaseModel)

MAX_URI_CHARACTERS: Final = 256
"""Of one in a list: a PDS chooses the keys of its records, up to 8 KB each."""


def _shortened(uri: str) -> str:
    return uri if len(uri) <= MAX_URI_CHARACTERS else uri[: MAX_URI_CHARACTERS - 1] + "\u2026"


ListedUri = Annotated[str, AfterValidator(_shortened)]
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
    return AsciiJsonResponse(
        answer.body, status_code=answer.status, headers={**answer.headers, **(headers or {})}
    )


def body_from(body: type[B], source: Any, **others: Any) -> B:
    """Return a body with the source's attributes of the same names; `others` are the fields that are something else."""
    named = {name: getattr(source, name) for name in body.model_fields if name not in others}
    return body(**named, **others)


class MessageBody(BaseModel):
    """What was done."""

    message: str
