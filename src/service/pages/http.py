"""The routes as the page docs/http.md: `python -m service.pages.http > docs/http.md`."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from api.app import create_app
from api.error_responses import codes_by_status
from api.middleware.request_limits import FIELDS_BYTES, HEADERS_BYTES, PATIENCE_SECONDS, SLOWEST, URL_BYTES
from api.pipeline.concurrency import MAX_CONCURRENT_UPLOADS
from service.config.settings import Settings
from service.process.http_connections import STALLED_RESPONSE_TIMEOUT_SECONDS
from service.wiring.bootstrap import build

KIB: Final = 1024
HEAD: Final = """\
# HTTP

The same as OpenAPI: `/openapi.json`. Request bodies may be JSON or multipart; an empty string clears a field, an absent
field is left unchanged. Errors are `{{"detail": {{"error": code, "message": text, ...}}}}` everywhere: `error` is for programs, `message`
for people. [ADR 19](adr/0019-error-codes.md) says why each code exists.

| header | meaning |
|---|---|
| `Authorization: Bearer TOKEN` | or the session cookie that sign-in sets |
| `If-Match: "VERSION"` | apply the request only to this version, otherwise 412. A track's `ETag` is its version |
| `Idempotency-Key: TEXT` | on POST, PATCH, PUT, DELETE: the same key and body return the first response again for 24 hours; 409 while the first is running. Keys belong to an account: signing in or out and switching accounts ignore them |
| `Prefer: wait=N` | wait up to N seconds (0 to 30) for the record on the PDS; the response shows how far it got |
| `X-Request-Id: TEXT` | stored in every event that the request appends; echoed in the response, generated when absent |

{limits}

<!-- generated from src/api/ by `python -m service.pages.http`; a test checks that it is current -->

| method and path | takes | answers | does |
|---|---|---|---|
"""
LIMITS: Final = f"""\
Any request may be rejected for its method (405) or its size: the URL has at most {URL_BYTES // KIB} KiB (414), headers {HEADERS_BYTES // KIB} KiB (431), fields
{FIELDS_BYTES // KIB} KiB in total (413). A body that sends nothing for {PATIENCE_SECONDS:.0f} seconds, or averages less than
{SLOWEST // KIB} KiB per second, is rejected (408). An account has at most {MAX_CONCURRENT_UPLOADS} concurrent uploads (429).
A response that the client does not take for {STALLED_RESPONSE_TIMEOUT_SECONDS:.0f} seconds is cut off: ask for the rest with `Range`."""
ERRORS_HEAD: Final = """
## Error codes

| status | codes |
|---|---|
"""


def page() -> str:
    """Return the page."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data=Path(folder))
        document = create_app(build(settings).services).openapi()
    return HEAD.format(limits=LIMITS) + "".join(_routes(document)) + ERRORS_HEAD + "".join(_codes())


def _routes(document: dict[str, Any]) -> Iterator[str]:
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            answers = ", ".join(sorted(route["responses"]))
            does = " ".join(route.get("description", "").split())
            yield f"| {method.upper()} {path} | {_takes(route, document)} | {answers} | {does} |\n"


def _takes(route: dict[str, Any], document: dict[str, Any]) -> str:
    query = [
        f"?{parameter['name']}" for parameter in route.get("parameters", ()) if parameter["in"] == "query"
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
        yield f"| {status} | {', '.join(f'`{code}`' for code in codes)} |\n"


if __name__ == "__main__":
    sys.stdout.write(page())
