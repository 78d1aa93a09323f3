"""The routes as the page docs/http.md: `python -m service.pages.http > docs/http.md`."""

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from api.app import create_app
from api.error_responses import REPLIES, codes_by_status
from api.middleware.request_limits import FIELDS_BYTES, HEADERS_BYTES, PATIENCE_SECONDS, SLOWEST, URL_BYTES
from api.openapi import ERROR_EXAMPLES, JSON, meaning_of
from api.pipeline.concurrency import MAX_CONCURRENT_UPLOADS
from service.config.settings import Settings
from service.process.http_connections import STALLED_RESPONSE_TIMEOUT_SECONDS
from service.wiring.bootstrap import build

KIB: Final = 1024
FORM: Final = "multipart/form-data"
HEAD: Final = """\
# HTTP

The same as OpenAPI: `/openapi.json`, from which [a client](#a-client-for-any-language) can be generated. Request bodies may be JSON or
multipart; an empty string clears a field, an absent field is left unchanged. Errors are `{{"detail": {{"error": code, "message": text, ...}}}}`
everywhere: `error` is for programs, `message` for people. [ADR 19](adr/0019-error-codes.md) says why each code exists.

| header | meaning |
|---|---|
| `Authorization: Bearer TOKEN` | or the session cookie that sign-in sets |
{headers}\
| `X-Request-Id: TEXT` | stored in every event that the request appends; echoed in the response, generated when absent |

{limits}

<!-- generated from src/api/ by `python -m service.pages.http`; a test checks that it is current -->

| method and path | takes | answers | does |
|---|---|---|---|
"""
LIMITS: Final = f"""\
Any request may be rejected for its method (405) or its size: the URL has at most {URL_BYTES // KIB} KiB (414), headers {HEADERS_BYTES // KIB} KiB (431), fields
{FIELDS_BYTES // KIB} KiB in total (413). A body that sends nothing for {PATIENCE_SECONDS:.0f} seconds, or averages less than
{SLOWEST // KIB} KiB per second, is rejected (408). Trailers and chunk extensions are refused (400). An account has at most {MAX_CONCURRENT_UPLOADS} concurrent uploads (429).
A response that the client does not take for {STALLED_RESPONSE_TIMEOUT_SECONDS:.0f} seconds is cut off: ask for the rest with `Range`."""
ERRORS_HEAD: Final = """
## Error codes

| status | code | meaning |
|---|---|---|
"""
EXAMPLES_HEAD: Final = """
## Examples

What to send, and what is answered: a name stands for [a body](#bodies). A form has the same fields; a list or an object in it is JSON text.

"""
BODIES_HEAD: Final = """
## Bodies
"""
CLIENT: Final = """
## A client for any language

The document names credentials, headers, and an example for each request, answer and error, so that generators need no help. In Python:

```sh
echo 'content_type_overrides: {application/x-ndjson: application/octet-stream}' >client.yaml
openapi-python-client generate --url https://tape.example.com/openapi.json --config client.yaml
```

Lines of JSON are bytes to it; hence the override. A test generates this client without a warning and plays the demo with it.
"""


def page() -> str:
    """Return the page."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data=Path(folder))
        document = create_app(build(settings).services).openapi()
    parts = [
        HEAD.format(headers="".join(_headers(document)), limits=LIMITS),
        *_routes(document),
        ERRORS_HEAD,
        *_codes(),
        EXAMPLES_HEAD,
        *_examples(document),
        BODIES_HEAD,
        *_bodies(document),
        CLIENT,
    ]
    return "".join(parts)


def _headers(document: dict[str, Any]) -> Iterator[str]:
    for header in document["components"]["parameters"].values():
        yield f"| `{header['name']}: {header['example']}` | {header['description']} |\n"


def _routes(document: dict[str, Any]) -> Iterator[str]:
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            answers = ", ".join(sorted(route["responses"]))
            does = " ".join(route.get("description", "").split())
            yield f"| {method.upper()} {path} | {_takes(route, document)} | {answers} | {does} |\n"


def _takes(route: dict[str, Any], document: dict[str, Any]) -> str:
    query = [
        f"?{parameter['name']}" for parameter in route.get("parameters", ()) if parameter.get("in") == "query"
    ]
    contents = route.get("requestBody", {}).get("content", {}).values()
    schemas = [_resolved(content["schema"], document) for content in contents]
    fields = dict.fromkeys(name for schema in schemas for name in schema.get("properties", {}))
    return ", ".join([*query, *fields]) or "-"


def _resolved(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    """Look up the schema of a model by its name."""
    name = schema.get("$ref", "").rpartition("/")[2]
    found: dict[str, Any] = document["components"]["schemas"][name] if name else schema
    return found


def _codes() -> Iterator[str]:
    for status, codes in codes_by_status().items():
        for code in codes:
            yield f"| {status} | `{code}` | {_meaning(status, code)} |\n"


def _meaning(status: int, code: str) -> str:
    """Say what each error with this code and status means; the framework's own are none of ours."""
    said = [
        meaning_of(kind, reply)
        for kind, reply in REPLIES.items()
        if (reply.status, reply.code) == (status, code)
    ]
    return " Or: ".join(dict.fromkeys(said)) or str(ERROR_EXAMPLES[code]["description"])


def _examples(document: dict[str, Any]) -> Iterator[str]:
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            contents = route.get("requestBody", {}).get("content", {})
            sent = contents.get(JSON) or contents.get(FORM)
            body = f" `{json.dumps(sent['example'])}`" if sent else ""
            yield f"- `{method.upper()} {path}`{body}: {' or '.join(_answers(route))}\n"


def _answers(route: dict[str, Any]) -> Iterator[str]:
    """Name the answers that are no errors: by their model, their kind, or what they show."""
    for status, response in sorted(route["responses"].items()):
        if status < "400":
            for kind, content in response.get("content", {"": {}}).items():
                name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
                shown = f"[{name}](#{name.lower()})" if name else _shown(kind, content)
                yield f"{status} {shown}".rstrip()


def _shown(kind: str, content: dict[str, Any]) -> str:
    return f"`{json.dumps(content['example'])}`" if "example" in content else kind


def _bodies(document: dict[str, Any]) -> Iterator[str]:
    """Show each body of an answer once."""
    found = {
        content["schema"]["$ref"].rpartition("/")[2]: content["example"]
        for methods in document["paths"].values()
        for route in methods.values()
        for status, response in route["responses"].items()
        for content in response.get("content", {}).values()
        if status < "400" and "$ref" in content.get("schema", {})
    }
    for name, example in sorted(found.items()):
        model = document["components"]["schemas"][name]
        about = " ".join(model.get("description", "").split())
        yield f"\n### {name}\n\n{about}\n\n```json\n{{\n{_lines(example)}\n}}\n```\n"


def _lines(example: dict[str, Any]) -> str:
    return ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in example.items())


if __name__ == "__main__":
    sys.stdout.write(page())
