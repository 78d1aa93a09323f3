"""The fields and files of a request body, JSON or form."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ValidationError

from aggregates.errors import InvalidFieldError
from api.error_responses import rule_of
from api.errors import BodyTooComplexError, MissingPartError
from eventstore.untrusted import TooComplexError, parsed
from storage.upload import Staged

NONE: Final = (None, "")


@dataclass(frozen=True)
class Body:
    """An absent field changes nothing, an empty text or null clears. In a form, structured fields are JSON text."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Staged] = field(default_factory=dict)
    is_form: bool = False

    def __contains__(self, name: str) -> bool:
        return name in self.fields

    @property
    def digest(self) -> str:
        """A hash of the content, independent of how the parts were framed."""
        files = {name: [staged.cid, staged.size] for name, staged in self.files.items()}
        return sha256(json.dumps([self.fields, files, self.is_form], sort_keys=True).encode()).hexdigest()

    def file(self, name: str) -> Staged:
        """Return a file part; raises MissingPartError."""
        if name not in self.files:
            raise MissingPartError(name)
        return self.files[name]

    def text(self, name: str) -> str | None:
        """Return a text verbatim; null is None."""
        value = self.fields.get(name)
        if value is not None and not isinstance(value, str):
            raise InvalidFieldError(name, "must be a text")
        if value is not None and not _is_unicode(value):
            raise InvalidFieldError(name, "must be Unicode text")
        return value

    def flag(self, name: str) -> bool:
        """Return a boolean; cleared or absent is false."""
        value = self.fields.get(name)
        if isinstance(value, bool):
            return value
        text = "" if value is None else value
        if not isinstance(text, str) or text.lower() not in {"", "true", "false"}:
            raise InvalidFieldError(name, "must be true or false")
        return text.lower() == "true"

    def whole_number(self, name: str) -> int:
        """Return an integer; a form sends it as text."""
        value = self._structured(name, "must be a whole number")
        if isinstance(value, bool) or not isinstance(value, int):
            raise InvalidFieldError(name, "must be a whole number")
        return value

    def texts(self, name: str) -> list[str]:
        """Return a list of strings; cleared or absent is empty."""
        limit = "must be a JSON list of texts"
        values = self._structured(name, limit)
        if values in NONE:
            return []
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise InvalidFieldError(name, limit)
        return values

    def mapping(self, name: str) -> dict[str, Any] | None:
        """Return a JSON object; cleared or absent is None."""
        limit = "must be a JSON object or null"
        value = self._structured(name, limit)
        if value in NONE:
            return None
        if not isinstance(value, dict):
            raise InvalidFieldError(name, limit)
        return value

    def _structured(self, name: str, limit: str) -> Any:
        value = self.fields.get(name)
        if isinstance(value, str) and value.lower() == "null":
            return None
        if not self.is_form or value in NONE:
            return value
        try:
            return parsed(value.encode())
        except TooComplexError:
            raise BodyTooComplexError from None
        except ValueError:
            raise InvalidFieldError(name, limit) from None


def _is_unicode(text: str) -> bool:
    """Whether a database can store the text: JSON can contain lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


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
