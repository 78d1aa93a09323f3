"""The API reference: an index of all routes, a page for each group of them, and one for the codes of errors."""

import json
import shlex
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from fastapi import Request, Response
from markupsafe import Markup
from starlette.exceptions import HTTPException

from api.document import DocumentedApp
from api.examples import EXAMPLES
from api.middleware.request_threads import in_thread
from api.openapi import JSON
from api.requests.body import MULTIPART
from web.ask import Json, or_at
from web.page import pages
from web.rendering import RenderDep, templates

MANY_FIELDS: Final = 4
"""A curl with more fields than these shows the required ones, or the first."""
MAX_DEPTH: Final = 3
ALIASES: Final = {"extension": "file_type", "artist": "handle"}
FILE_NAMES: Final = {"file": "@song.mp3", "image": "@cover.png"}
TOKEN: Final = "Authorization: Bearer TOKEN"  # noqa: S105 - a placeholder
PLAIN: Final = {
    "string": "text",
    "integer": "whole number",
    "int64": "whole number",
    "boolean": "true or false",
    "binary": "file",
    "date-time": "time (RFC 3339)",
}
LIMITS: Final = {
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minimum": "at least {}",
    "maximum": "at most {}",
}


class Row(NamedTuple):
    """A field or a parameter; `kind` is its type in words, with its limits."""

    name: str
    kind: str
    text: str
    is_required: bool = False


class Failure(NamedTuple):
    status: str
    code: str
    meaning: str


def failures_of(document: Json) -> list[Failure]:
    found: dict[tuple[str, str], set[str]] = {}
    for methods in document["paths"].values():
        for operation in methods.values():
            for each in _failures(document, operation):
                found.setdefault((each.code, each.meaning), set()).add(each.status)
    return [
        Failure(", ".join(sorted(statuses)), code, meaning)
        for (code, meaning), statuses in sorted(found.items())
    ]


def _failures(document: Json, operation: Json) -> Iterator[Failure]:
    meanings = document["components"]["examples"]
    for status, response in sorted(operation["responses"].items()):
        for code in response.get("content", {}).get(JSON, {}).get("examples", ()):
            yield Failure(status, code, meanings[code]["description"])


def operations_of(document: Json, base_url: str) -> Iterator[dict[str, Any]]:
    """Yield all operations in the document's order.

    Their `access` is `closed`, `open`, or `either` where what is shown depends on the caller.
    """
    schemas = Schemas(document["components"]["schemas"])
    shared = document["components"]["parameters"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            contents = operation.get("requestBody", {}).get("content", {})
            security = operation.get("security", ())
            access = "open" if not security else "either" if {} in security else "closed"
            parameters = [
                shared[each["$ref"].rpartition("/")[2]] if "$ref" in each else each
                for each in operation.get("parameters", ())
            ]
            paragraphs = operation.get("description", "").split("\n\n")
            yield {
                "anchor": f"{method}-{path.strip('/').replace('{', '').replace('}', '').replace('/', '-')}",
                "tag": operation["tags"][0],
                "method": method.upper(),
                "path": path,
                "paragraphs": [" ".join(part.split()) for part in paragraphs if part],
                "access": access,
                "parameters": [schemas.parameter(each) for each in parameters],
                "fields": schemas.fields(contents.values()),
                "body_types": list(contents),
                "successes": [
                    {"status": status, "types": list(content), **schemas.success(content.get(JSON, {}))}
                    for status, response in sorted(operation["responses"].items())
                    if status[0] in "23"
                    for content in [response.get("content", {})]
                ],
                "failures": list(_failures(document, operation)),
                "curl": curl(method, base_url + path, parameters, contents, has_token=access == "closed"),
            }


class Schemas:
    def __init__(self, models: Json) -> None:
        self._models: Final = models

    def parameter(self, found: Json) -> Row:
        """Return a parameter as a row; a query cannot say null."""
        kind = self.kind(_without_null(found["schema"]))
        text, is_required = found.get("description", ""), found.get("required", False)
        return Row(found["name"], f"{found['in']}, {kind}", text, is_required)

    def fields(self, contents: Iterable[Json]) -> list[Row]:
        """Return the fields of a body: of JSON where it may be, then those that only a form carries."""
        rows: dict[str, Row] = {}
        for content in contents:
            for row in self.rows(content["schema"]):
                rows.setdefault(row.name, row)
        return list(rows.values())

    def success(self, content: Json) -> dict[str, Any]:
        example = json.dumps(content["example"], indent=2) if "example" in content else None
        return {"rows": list(self.rows(content.get("schema", {}))), "example": example}

    def rows(self, schema: Json, prefix: str = "", depth: int = 1) -> Iterator[Row]:
        """Yield the fields of an object, and after each those of the object in it or in its list."""
        schema = self._resolved(schema)
        for name, field in schema.get("properties", {}).items():
            inner = self._resolved(field)
            text = field.get("description") or inner.get("description", "").split("\n\n", 1)[0]
            yield Row(prefix + name, self.kind(field), text, name in schema.get("required", ()))
            if inner.get("type") == "array":
                inner = self._resolved(inner.get("items", {}))
            if depth < MAX_DEPTH:
                yield from self.rows(inner, f"{prefix}{name}.", depth + 1)

    def kind(self, schema: Json) -> str:
        if "$ref" in schema:
            return self.kind(self._resolved(schema))
        if options := schema.get("anyOf") or schema.get("oneOf"):
            return " or ".join(dict.fromkeys(self.kind(each) for each in options))
        if values := schema.get("enum"):
            return ("one of " if len(values) > 1 else "") + ", ".join(map(str, values))
        if schema.get("type") == "array":
            return f"list of {self.kind(schema.get('items', {}))}"
        names = schema.get("format", schema.get("type", "any value"))
        plain = [str(PLAIN.get(each, each)) for each in (names if isinstance(names, list) else [names])]
        limits = [text.format(schema[name]) for name, text in LIMITS.items() if name in schema]
        return ", ".join([" or ".join(plain), *limits])

    def _resolved(self, schema: Json) -> Json:
        """Look up a reference to a model; of a value or null, give the value's."""
        while "$ref" in (schema := _without_null(schema)):
            schema = self._models[schema["$ref"].rpartition("/")[2]]
        return schema


def _without_null(schema: Json) -> Json:
    values = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    return values[0] if len(values) == 1 else schema


def curl(method: str, url: str, parameters: Iterable[Json], contents: Json, *, has_token: bool) -> str:
    """Return a request with curl, with the examples of what it needs."""
    examples: dict[str, dict[str, Any]] = {"path": {}, "query": {}, "header": {}}
    for each in parameters:
        if each.get("required"):
            name: str = each["name"]
            examples[each["in"]][name] = EXAMPLES.get(ALIASES.get(name, name), name.upper())
    query = f"?{urlencode(examples['query'])}" if examples["query"] else ""
    address = shlex.quote(url.format(**examples["path"]) + query)
    parts = [f"curl {address}" if method == "get" else f"curl -X {method.upper()} {address}"]
    if has_token:
        parts.append(f"-H {shlex.quote(TOKEN)}")
    if JSON in contents:
        body = json.dumps(_shortened(contents[JSON]))
        parts += [f"-H 'Content-Type: {JSON}'", f"-d {shlex.quote(body)}"]
    elif MULTIPART in contents:
        shown = {name: FILE_NAMES.get(name, value) for name, value in _shortened(contents[MULTIPART]).items()}
        parts += [f"-F {shlex.quote(f'{name}={value}')}" for name, value in shown.items()]
    return " \\\n  ".join(parts)


def _shortened(content: Json) -> Json:
    example: Json = content["example"]
    if len(example) <= MANY_FIELDS:
        return example
    names = content["schema"].get("required") or [next(iter(example))]
    return {name: example[name] for name in names}


router = pages()

INDEX: Final = ""
OPENAPI: Final = "/openapi.json"
ERRORS: Final = "errors"


class Reference:
    """The reference of an application; it is rendered once in a process."""

    def __init__(self, app: DocumentedApp) -> None:
        self._app: Final = app

    def page(self, name: str) -> Markup | None:
        return self._pages.get(name)

    @cached_property
    def _pages(self) -> dict[str, Markup]:
        document, base_url = self._app.openapi(), self._app.state.services.base_url
        groups: dict[str, list[dict[str, Any]]] = {}
        for operation in operations_of(document, base_url):
            groups.setdefault(operation["tag"], []).append(operation)
        known = {
            "groups": groups,
            "headers": list(document["components"]["parameters"].values()),
            "failures": failures_of(document),
            "base_url": base_url,
        }
        kinds = {INDEX: "index", **dict.fromkeys(groups, "group"), ERRORS: "errors"}
        return {
            name: Markup(templates().get_template(f"docs/{kind}.html").render(known, name=name))  # noqa: S704 - it was escaped there
            for name, kind in kinds.items()
        }


@router.get("/docs", dependencies=[or_at(OPENAPI)])
@router.get("/docs/{name}", dependencies=[or_at(OPENAPI)])
async def show(request: Request, render: RenderDep, name: str = INDEX) -> Response:
    reference: Reference = request.app.state.reference
    content = await in_thread(reference.page, name)
    if content is None:
        raise HTTPException(404)
    return render("docs/page.html", title=f"API: {name}" if name else "API", content=content)
