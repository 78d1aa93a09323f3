"""Words for the schemas of an OpenAPI document: the type of a field, and the fields of a body as rows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

Json = Mapping[str, Any]

MAX_DEPTH: Final = 3
PLAIN: Final = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "object": "object",
    "null": "null",
    "binary": "file",
    "date-time": "time (RFC 3339)",
}


@dataclass(frozen=True)
class Row:
    """A field or a parameter; `kind` is its type in words, with its limits."""

    name: str
    kind: str
    text: str
    is_required: bool = False


class Schemas:
    """The models of a document, by name."""

    def __init__(self, document: Json) -> None:
        self._models: Final[Json] = document["components"]["schemas"]

    def resolved(self, schema: Json) -> Json:
        """Look up a reference to a model; of a value or null, give the value's."""
        if "$ref" in schema:
            found: Json = self._models[schema["$ref"].rpartition("/")[2]]
            return found
        values = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
        return self.resolved(values[0]) if len(values) == 1 else schema

    def kind(self, schema: Json) -> str:
        """Return the type in words."""
        if "$ref" in schema:
            return self.kind(self.resolved(schema))
        if options := schema.get("anyOf") or schema.get("oneOf"):
            return " or ".join(dict.fromkeys(self.kind(each) for each in options))
        if values := schema.get("enum"):
            return ("one of " if len(values) > 1 else "") + ", ".join(map(str, values))
        if schema.get("type") == "array":
            return f"list of {self.kind(schema.get('items', {}))}"
        return _plain(schema) + _limits(schema)

    def rows(self, schema: Json, prefix: str = "", depth: int = 1) -> Iterator[Row]:
        """Yield the fields of an object, and after each those inside it."""
        schema = self.resolved(schema)
        required = schema.get("required", ())
        for name, field in schema.get("properties", {}).items():
            text = field.get("description") or self._first_line(field)
            yield Row(prefix + name, self.kind(field), text, name in required)
            inner = self._object_in(field)
            if inner is not None and depth < MAX_DEPTH:
                yield from self.rows(inner, f"{prefix}{name}.", depth + 1)

    def _first_line(self, field: Json) -> str:
        described: str = self.resolved(field).get("description", "")
        return described.split("\n\n", 1)[0]

    def _object_in(self, field: Json) -> Json | None:
        """Return the schema of the object in a field or in its list, if it has one with fields."""
        found = self.resolved(field)
        if found.get("type") == "array":
            found = self.resolved(found.get("items", {}))
        return found if "properties" in found else None


def _plain(schema: Json) -> str:
    name: str | list[str] = schema.get("format", schema.get("type", "any value"))
    names = name if isinstance(name, list) else [name]
    return " or ".join(PLAIN.get(each, each) for each in names)


def _limits(schema: Json) -> str:
    words = {
        "minLength": "at least {} characters",
        "maxLength": "at most {} characters",
        "minimum": "at least {}",
        "maximum": "at most {}",
    }
    found = [text.format(schema[name]) for name, text in words.items() if name in schema]
    return f", {', '.join(found)}" if found else ""
