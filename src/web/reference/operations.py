"""The operations of an OpenAPI document as the reference shows them."""

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from api.examples import EXAMPLES
from web.reference.schemas import Row, Schemas

Json = Mapping[str, Any]

JSON: Final = "application/json"
FORM: Final = "multipart/form-data"
MANY_FIELDS: Final = 4
"""A curl with more fields than these shows the required ones, or the first."""
ALIASES: Final = {"extension": "file_type", "artist": "handle"}
FILE_NAMES: Final = {"file": "song.mp3", "image": "cover.png"}
TOKEN: Final = "Authorization: Bearer TOKEN"  # noqa: S105 - a placeholder


@dataclass(frozen=True)
class Failure:
    """A code of an error that an operation may answer, and what it means."""

    status: str
    code: str
    meaning: str


@dataclass(frozen=True)
class Success:
    """What an operation answers when it works."""

    status: str
    types: tuple[str, ...]
    rows: tuple[Row, ...]
    example: str | None


@dataclass(frozen=True)
class Operation:
    """A method of a path. `access` is `closed`, `open`, or `either` where what is shown depends on the caller."""

    anchor: str
    tag: str
    method: str
    path: str
    paragraphs: tuple[str, ...]
    access: str
    parameters: tuple[Row, ...]
    fields: tuple[Row, ...]
    body_types: tuple[str, ...]
    successes: tuple[Success, ...]
    failures: tuple[Failure, ...]
    curl: str

    @property
    def sentence(self) -> str:
        """The first sentence of what it does."""
        return self.paragraphs[0].split(". ")[0].rstrip(".") + "." if self.paragraphs else ""


def operations_of(document: Json, base_url: str) -> list[Operation]:
    """Return all operations in the document's order."""
    reader = _Reader(document, base_url)
    return [
        reader.operation(method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def failures_of(document: Json) -> list[Failure]:
    """Return every code of an error with its statuses, by code."""
    statuses: dict[str, set[str]] = {}
    for methods in document["paths"].values():
        for operation in methods.values():
            for status, response in operation["responses"].items():
                for code in response.get("content", {}).get(JSON, {}).get("examples", ()):
                    statuses.setdefault(code, set()).add(status)
    meanings = document["components"]["examples"]
    return [
        Failure(", ".join(sorted(found)), code, meanings[code]["description"])
        for code, found in sorted(statuses.items())
    ]


class _Reader:
    def __init__(self, document: Json, base_url: str) -> None:
        self._document = document
        self._base_url = base_url
        self._schemas = Schemas(document)

    def operation(self, method: str, path: str, operation: Json) -> Operation:
        contents = operation.get("requestBody", {}).get("content", {})
        parameters = [self._parameter(each) for each in operation.get("parameters", ())]
        return Operation(
            anchor=f"{method}-{path.strip('/').replace('{', '').replace('}', '').replace('/', '-')}",
            tag=operation["tags"][0],
            method=method.upper(),
            path=path,
            paragraphs=tuple(
                " ".join(part.split()) for part in operation.get("description", "").split("\n\n") if part
            ),
            access=_access(operation),
            parameters=tuple(self._parameter_row(each) for each in parameters),
            fields=tuple(self._fields(contents)),
            body_types=tuple(contents),
            successes=tuple(self._successes(operation)),
            failures=tuple(self._failures(operation)),
            curl=self._curl(method, path, operation, parameters, contents),
        )

    def _parameter(self, parameter: Json) -> Json:
        name = parameter.get("$ref", "").rpartition("/")[2]
        found: Json = self._document["components"]["parameters"][name] if name else parameter
        return found

    def _parameter_row(self, parameter: Json) -> Row:
        kind = f"{parameter['in']}, {self._schemas.kind(_without_null(parameter['schema']))}"
        return Row(
            parameter["name"], kind, parameter.get("description", ""), parameter.get("required", False)
        )

    def _fields(self, contents: Json) -> Iterator[Row]:
        """Yield the fields of the body: of JSON where it may be, then those that only a form carries."""
        known: set[str] = set()
        for content in contents.values():
            for row in self._schemas.rows(content["schema"]):
                if row.name not in known:
                    known.add(row.name)
                    yield row

    def _successes(self, operation: Json) -> Iterator[Success]:
        for status, response in sorted(operation["responses"].items()):
            if status[0] in "23":
                contents = response.get("content", {})
                content = contents.get(JSON, {})
                example = json.dumps(content["example"], indent=2) if "example" in content else None
                rows = tuple(self._schemas.rows(content.get("schema", {})))
                yield Success(status, tuple(contents), rows, example)

    def _failures(self, operation: Json) -> Iterator[Failure]:
        meanings = self._document["components"]["examples"]
        for status, response in sorted(operation["responses"].items()):
            for code in response.get("content", {}).get(JSON, {}).get("examples", ()):
                yield Failure(status, code, meanings[code]["description"])

    def _curl(self, method: str, path: str, operation: Json, parameters: list[Json], contents: Json) -> str:
        values = {each["name"]: _example(each["name"]) for each in parameters if each["in"] == "path"}
        query = {
            each["name"]: _example(each["name"])
            for each in parameters
            if each["in"] == "query" and each.get("required")
        }
        url = self._base_url + path.format(**values) + (f"?{urlencode(query)}" if query else "")
        parts = ["curl"] if method == "get" else [f"curl -X {method.upper()}"]
        parts[0] += f" {shlex.quote(url)}"
        if _access(operation) == "closed":
            parts.append(f"-H {shlex.quote(TOKEN)}")
        if JSON in contents:
            body = json.dumps(_shown(contents[JSON]))
            parts += ["-H 'Content-Type: application/json'", f"-d {shlex.quote(body)}"]
        elif FORM in contents:
            files = {name: f"@{FILE_NAMES[name]}" for name in FILE_NAMES}
            shown = {**_shown(contents[FORM])}
            parts += [
                f"-F {shlex.quote(f'{name}={files.get(name, value)}')}" for name, value in shown.items()
            ]
        return " \\\n  ".join(parts)


def _access(operation: Json) -> str:
    security = operation.get("security")
    if not security:
        return "open"
    return "either" if {} in security else "closed"


def _without_null(schema: Json) -> Json:
    """Return the schema of a value that may be absent: a query cannot say null."""
    values = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    return values[0] if len(values) == 1 else schema


def _example(name: str) -> Any:
    return EXAMPLES.get(ALIASES.get(name, name), name.upper())


def _shown(content: Json) -> Json:
    """Return the fields of the example that a curl shows."""
    example: Json = content["example"]
    if len(example) <= MANY_FIELDS:
        return example
    names = content["schema"].get("required") or [next(iter(example))]
    return {name: example[name] for name in names}
