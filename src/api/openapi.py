"""OpenAPI fragments for errors, and for bodies that the routes parse themselves."""

from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from http import HTTPStatus
from typing import Any, Final, TypeVar

from fastapi.dependencies.models import Dependant
from pydantic import BaseModel, ConfigDict

from aggregates.errors import wording
from api.error_responses import FRAMEWORK_CODES, REPLIES, codes_by_status, worded
from api.examples import EXAMPLES, IN


class ErrorDetail(BaseModel):
    """`error` is for programs, `message` for people; some codes bring fields of their own."""

    model_config = ConfigDict(extra="allow")

    error: str
    message: str


class ErrorBody(BaseModel):
    """The shape of every error."""

    detail: ErrorDetail


JSON: Final = "application/json"
BY_STATUS: Final = codes_by_status()
_REFERENCE: Final = "#/components/schemas/{model}"
TEXT: Final = {"type": "string"}
FILE: Final = {"type": "string", "format": "binary"}
AUDIO_FILE: Final = {**FILE, "description": "the audio"}
IMAGE_FILE: Final = {**FILE, "description": "the cover"}


def error_schemas() -> dict[str, dict[str, Any]]:
    """Return the schemas that `errors` refers to: given a model, FastAPI would make a validator for each error of each route."""
    body = ErrorBody.model_json_schema(ref_template=_REFERENCE)
    return {**body.pop("$defs"), ErrorBody.__name__: body}


def _error_examples() -> dict[str, dict[str, Any]]:
    """Return an example for each code, which is the first error that has it; its description tells of all."""
    found: dict[str, dict[str, Any]] = {}
    for kind, reply in REPLIES.items():
        message = worded(reply.message or wording(kind), reply)
        example = found.setdefault(reply.code, _example(reply.code, message, *reply.fields))
        if message not in example["description"]:
            example["description"] += f" Or: {message}"
    for status, code in FRAMEWORK_CODES.items():
        found.setdefault(code, _example(code, f"{HTTPStatus(status).description}."))
    return found


def _example(code: str, message: str, *fields: str) -> dict[str, Any]:
    more = {name: IN.get(code, {}).get(name, EXAMPLES.get(name)) for name in fields}
    detail = {"error": code, "message": message, **more}
    return {"summary": code, "description": message, "value": {"detail": detail}}


ERROR_EXAMPLES: Final = _error_examples()


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return responses for these statuses; with 413 also 408."""
    too_slow = {408} if HTTPStatus.REQUEST_ENTITY_TOO_LARGE in statuses else set()
    return {
        status: {
            "description": ", ".join(BY_STATUS[status]),
            "content": {
                JSON: {
                    "schema": {"$ref": _REFERENCE.format(model=ErrorBody.__name__)},
                    "examples": {
                        code: {"$ref": f"#/components/examples/{code}"} for code in BY_STATUS[status]
                    },
                }
            },
        }
        for status in sorted({*statuses} | too_slow)
    }


C = TypeVar("C", bound=Callable[..., Any])


def refuses(*statuses: int) -> Callable[[C], C]:
    """Say of a dependency with which statuses it, or what it is needed for, refuses a request."""

    def mark(call: C) -> C:
        REFUSALS[call] = statuses
        return call

    return mark


REFUSALS: Final[dict[Callable[..., Any], tuple[int, ...]]] = {}


def calls_of(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    """Yield all dependencies of a route, and theirs in turn."""
    for each in dependant.dependencies:
        if each.call is not None:
            yield each.call
        yield from calls_of(each)


def operation(
    takes: type[BaseModel], answer: type[BaseModel], refused: Collection[int] = (404,)
) -> dict[str, Any]:
    """Return the options of a route by what it takes and answers, and the statuses with which it refuses."""
    return {"response_model": answer, "responses": errors(*refused), "openapi_extra": fields_of(takes)}


def fields_of(model: type[BaseModel], **files: Any) -> Any:
    """Return what makes a body that may be JSON or a form, with the fields of a model; only the form carries files."""
    return partial(_body, model, files)


def _body(model: type[BaseModel], files: dict[str, Any]) -> dict[str, Any]:
    required, properties = _fields(model)
    json_body = {JSON: _schema(required, properties)}
    return {"requestBody": {"content": {**json_body, **_form(required, {**properties, **files})}}}


def multipart(files: dict[str, Any], model: type[BaseModel] | None = None, **optional: Any) -> dict[str, Any]:
    """Return a form of these files, and with the fields of a model; its structured fields are JSON text."""
    required, properties = _fields(model) if model is not None else ([], {})
    content = _form([*files, *required], {**files, **properties, **optional})
    return {"requestBody": {"required": True, "content": content}}


def names(*fields: str) -> dict[str, Any]:
    """Return a body of which the document says nothing but the names of its fields."""
    return {"requestBody": {"content": {JSON: _schema([], dict.fromkeys(fields, TEXT))}}}


def _fields(model: type[BaseModel]) -> tuple[list[str], dict[str, Any]]:
    schema = model.model_json_schema()
    return schema.get("required", []), _inlined(schema["properties"], schema.get("$defs", {}))


def _inlined(part: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(part, list):
        return [_inlined(each, definitions) for each in part]
    if not isinstance(part, dict):
        return part
    own = {name: _inlined(each, definitions) for name, each in part.items() if name != "$ref"}
    return {**definitions.get(part.get("$ref", "").rpartition("/")[2], {}), **own}


def _form(required: list[str], properties: dict[str, Any]) -> dict[str, Any]:
    fields = {name: _as_text(schema) for name, schema in properties.items()}
    return {"multipart/form-data": _schema(required, fields)}


def _as_text(schema: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a form field: a list or an object is JSON text."""
    parts: Iterable[dict[str, Any]] = (schema, *schema.get("anyOf", ()))
    if not any({"items", "properties", "additionalProperties"} & part.keys() for part in parts):
        return schema
    description = f"{schema.get('description')}; as JSON text"
    return {**TEXT, "contentMediaType": JSON, "contentSchema": schema, "description": description}


def _schema(required: list[str], properties: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties}
    return {"schema": {**schema, "required": required} if required else schema}
