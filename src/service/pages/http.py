"""The routes as the page docs/http.md: `python -m service.pages.http > docs/http.md`."""

import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from api.app import create_app
from api.error_responses import REPLIES, codes_by_status
from api.middleware.request_limits import FIELDS_BYTES, HEADERS_BYTES, PATIENCE_SECONDS, SLOWEST, URL_BYTES
from api.openapi import ERROR_EXAMPLES, meaning_of
from api.pipeline.concurrency import MAX_CONCURRENT_UPLOADS
from eventstore.untrusted import MAX_VALUES
from service.config.settings import Settings
from service.process.http_connections import STALLED_RESPONSE_TIMEOUT_SECONDS
from service.wiring.bootstrap import build

KIB: Final = 1024
HEAD: Final = """\
# HTTP

What each route is for. A running service says at `/docs` and in `/openapi.json` all that a route does, with its fields and an example;
[a client](#a-client-for-any-language) can be generated from it. Request bodies may be JSON or multipart; an empty string clears a field, an absent
field is left unchanged. Errors are `{{"detail": {{"error": code, "message": text, ...}}}}`
everywhere: `error` is for programs, `message` for people. [ADR 19](adr/0019-error-codes.md) says why each code exists.

| header | meaning |
|---|---|
| `Authorization: Bearer TOKEN` | or the session cookie that sign-in sets |
{headers}\
| `X-Request-Id: TEXT` | stored in every event that the request appends; echoed in the response, generated when absent |

{limits}

Among the answers, *read* stands for {read}, and *write* for {write}.

<!-- generated from src/api/ by `python -m service.pages.http`; a test checks that it is current -->

| method and path | takes | answers | does |
|---|---|---|---|
"""
LIMITS: Final = f"""\
Any request may be rejected for its method (405) or its size: the URL has at most {URL_BYTES // KIB} KiB (414), headers {HEADERS_BYTES // KIB} KiB (431), fields
{FIELDS_BYTES // KIB} KiB in total (413), and a JSON text at most {MAX_VALUES} values, a form as many escapes (413 `too_complex`). A body that sends nothing for {PATIENCE_SECONDS:.0f} seconds, or averages less than
{SLOWEST // KIB} KiB per second, is rejected (408). Trailers and chunk extensions are refused (400). An account has at most {MAX_CONCURRENT_UPLOADS} concurrent uploads (429).
A response that the client does not take for {STALLED_RESPONSE_TIMEOUT_SECONDS:.0f} seconds is cut off: ask for the rest with `Range`."""
ERRORS_HEAD: Final = """
## Error codes

| status | code | meaning |
|---|---|---|
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


READ: Final = ("422", "429", "503")
WRITE: Final = ("400", "401", "403", "408", "409", "413", "415", *READ)


def page() -> str:
    """Return the page."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data=Path(folder))
        document = create_app(build(settings).services).openapi()
    parts = [
        HEAD.format(
            headers="".join(_headers(document)),
            limits=LIMITS,
            read=", ".join(READ),
            write=", ".join(WRITE),
        ),
        *_routes(document),
        ERRORS_HEAD,
        *_codes(),
        CLIENT,
    ]
    return "".join(parts)


def _headers(document: dict[str, Any]) -> Iterator[str]:
    for header in document["components"]["parameters"].values():
        yield f"| `{header['name']}: {header['example']}` | {header['description']} |\n"


def _routes(document: dict[str, Any]) -> Iterator[str]:
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            does = " ".join(route.get("description", "").split()).partition(". ")[0].removesuffix(".")
            answers = _answers(route["responses"])
            yield f"| {method.upper()} {path} | {_takes(route, document)} | {answers} | {does} |\n"


def _answers(statuses: Iterable[str]) -> str:
    """List the statuses; one name stands for those that reads, or writes, share."""
    shared, name = next(
        ((each, name) for each, name in ((WRITE, "write"), (READ, "read")) if set(each) <= {*statuses}),
        ((), ""),
    )
    return ", ".join([*sorted({*statuses} - {*shared}), *([name] if name else [])])


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


if __name__ == "__main__":
    sys.stdout.write(page())
