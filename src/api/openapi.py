"""OpenAPI fragments for errors, and for bodies that the routes parse themselves."""

from typing import Any, Final

from pydantic import BaseModel, ConfigDict

from aggregates.values import Downloads
from api.error_responses import codes_by_status


class ErrorDetail(BaseModel):
    """`error` is for programs, `message` for people; some codes bring fields of their own."""

    model_config = ConfigDict(extra="allow")

    error: str
    message: str


class ErrorBody(BaseModel):
    """The shape of every error."""

    detail: ErrorDetail


CODES: Final = {status: ", ".join(codes) for status, codes in codes_by_status().items()}
TEXT: Final = {"type": "string"}
LIST_TEXT: Final = {"type": "array", "items": TEXT}
FILE: Final = {"type": "string", "format": "binary"}
TRACK_FIELDS: Final[dict[str, Any]] = {
    "title": {**TEXT, "description": "1 to 256 bytes"},
    "album": {**TEXT, "description": "at most 256 bytes; empty clears"},
    "description": {**TEXT, "description": "at most 5000 bytes; empty clears"},
    "features": {**LIST_TEXT, "description": "at most 10 handles or DIDs"},
    "tags": {**LIST_TEXT, "description": "at most 10 of at most 50 characters"},
    "self_labels": {**LIST_TEXT, "description": "at most 10 of at most 128 bytes"},
    "support_gate": {"type": ["object", "null"], "properties": {"type": {"enum": ["any"]}}},
    "unlisted": {"type": "boolean"},
    "downloads": {
        **TEXT,
        "enum": list(Downloads),
        "description": "who may download the audio, of those who may play it; empty is open",
    },
}
_REPEATABLE: Final = (400, 401, 403, 409, 413, 415, 422, 503)
_COMMAND: Final = (*_REPEATABLE, 404, 412)


def errors(*statuses: int, free: bool = False) -> dict[int | str, dict[str, Any]]:
    """Return responses for these statuses; with 413 also 408, and 429 unless the route is `free` of rate limits."""
    too_slow = {408} if 413 in statuses else set()  # noqa: PLR2004
    counted = set() if free else {429}
    return {
        status: {"model": ErrorBody, "description": CODES[status]}
        for status in sorted({*statuses} | counted | too_slow)
    }


def command_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the errors of every command, and these."""
    return errors(*_COMMAND, *statuses)


def repeatable_errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the errors of every request that takes an Idempotency-Key, and these."""
    return errors(*_REPEATABLE, *statuses)


def multipart(required: list[str], **properties: Any) -> dict[str, Any]:
    """Return a multipart body; its structured fields are JSON text."""
    return {
        "requestBody": {"required": True, "content": {"multipart/form-data": _schema(required, properties)}}
    }


def either(required: list[str], files: dict[str, Any], **properties: Any) -> dict[str, Any]:
    """Return a body that may be JSON or a form; only the form carries files."""
    json_body = {"application/json": _schema(required, properties)}
    form = {"multipart/form-data": _schema(required, {**properties, **files})}
    return {"requestBody": {"content": {**json_body, **form}}}


def fields_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return a body that may be JSON or a form, with the fields of a model."""
    schema = model.model_json_schema()
    properties = {
        name: schema["$defs"][each["$ref"].rpartition("/")[2]] if "$ref" in each else each
        for name, each in schema["properties"].items()
    }
    return either(schema.get("required", []), {}, **properties)


def _schema(required: list[str], properties: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties}
    return {"schema": {**schema, "required": required} if required else schema}
