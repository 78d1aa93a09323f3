"""The routes as the page docs/http.md: `python -m service.http_page > docs/http.md`."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from api.app import create_app
from api.bodies.limits import FIELDS_BYTES, HEADERS_BYTES, PATIENCE_SECONDS, SLOWEST, URL_BYTES
from api.errors import codes_by_status
from api.uploads_at_once import AT_ONCE
from service.bootstrap import build
from service.settings import Settings

KIB: Final = 1024
HEAD: Final = """\
# HTTP

The service serves this as OpenAPI too: `/openapi.json`. Bodies may be JSON or multipart alike; an empty string clears a field, an
absent one leaves it. Errors are `{{"detail": {{"error": code, "message": text, ...}}}}` everywhere: `error` is for programs, `message` for people. Codes beyond those of
the first design have their reasons in [ADR 19](adr/0019-error-codes.md).

| header | meaning |
|---|---|
| `Authorization: Bearer TOKEN` | or the cookie that sign-in sets |
| `If-Match: "VERSION"` | do it only on this version; else 412. A track's `ETag` is its version |
| `Idempotency-Key: TEXT` | on POST, PATCH, PUT, DELETE: the same key and body get the first answer again for 24 hours, while the first runs 409. It belongs to an account: signing in and out, and switching accounts, do not read it |
| `Prefer: wait=N` | wait up to N seconds (0 to 30) for the record on the PDS; the answer shows how far it came |
| `X-Request-Id: TEXT` | kept in every event that the request makes; given back, or made when absent |

{limits}

<!-- generated from src/api/ by `python -m service.http_page`; a test holds it to that -->

| method and path | takes | answers | does |
|---|---|---|---|
"""
LIMITS: Final = f"""\
Any request may be refused for its method (405), and for its measure: an address has at most {URL_BYTES // KIB} KiB (414), headers {HEADERS_BYTES // KIB} KiB (431),
fields {FIELDS_BYTES // KIB} KiB in all (413). A body that is silent for {PATIENCE_SECONDS:.0f} seconds, or comes with less than
{SLOWEST // KIB} KiB a second on the whole, is given up (408). An account has at most {AT_ONCE} uploads under way (429)."""
ERRORS_HEAD: Final = """
## Error codes

| status | codes |
|---|---|
"""


def page() -> str:
    """Give the whole page."""
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
