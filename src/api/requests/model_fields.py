"""Parses the fields of a body into a model, by the rules of every body."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from aggregates.errors import InvalidFieldError
from api.error_responses import rule_of
from api.errors import MissingPartError
from api.requests.body import Body

M = TypeVar("M", bound=BaseModel)


def fields_as(model: type[M], body: Body) -> M:
    """Return the model; an empty optional field is cleared. Raises MissingPartError or InvalidFieldError."""
    known = model.model_fields
    fields = {
        name: value
        for name, value in body.fields.items()
        if value != "" or name not in known or known[name].is_required()
    }
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        first = error.errors()[0]
    field = str(first["loc"][0])
    if first["type"] == "missing":
        raise MissingPartError(field)
    raise InvalidFieldError(field, rule_of(first["msg"]))
