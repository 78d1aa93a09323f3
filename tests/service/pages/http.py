"""The routes as the page docs/http.md: `python -m tests.service.pages.http > docs/http.md`."""

import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from aggregates.errors import wording
from api.app import create_app
from api.error_responses import REPLIES, codes_by_status, worded
from api.middleware.http_layer import FIELDS_BYTES, HEADERS_BYTES, PATIENCE_SECONDS, SLOWEST, URL_BYTES
from api.openapi import ERROR_EXAMPLES
from api.pipeline.concurrency import MAX_CONCURRENT_UPLOADS
from eventstore.untrusted import MAX_VALUES
from service.config.settings import Settings
from service.process.http_connections import STALLED_RESPONSE_TIMEOUT_SECONDS
from service.wiring.bootstrap import build

KIB: Final = 1024
OF_A_KIND: Final = re.compile(r"(/ops|)/(\w+)/\{\w+_id\}(.*)")
HEAD: Final = """\
# HTTP

What each route is for. A running service says at `/docs` and in `/openapi.json` all that a route takes and does, with an example;
[a client](#a-client-for-any-language) can be generated from it. Request bodies may be JSON or multipart; an empty string clears a field, an absent
field is left unchanged. Errors are `{{"detail": {{"error": code, "message": text, ...}}}}`
everywhere: `error` is for programs, `message` for people. [ADR 19](adr/0019-error-codes.md) says why each code exists.

| header | meaning |
|---|---|
| `Authorization: Bearer TOKEN` | or the session cookie that sign-in sets |
{headers}\
| `X-Request-Id: TEXT` | stored in every event that the request appends; echoed in the response, generated when absent |

{limits}

<!-- generated from src/api/ by `python -m tests.service.pages.http`; a test checks that it is current -->

| method and path | does |
|---|---|
"""
LIMITS: Final = f"""\
Any request may be rejected for its method (405) or its size: the URL has at most {URL_BYTES // KIB} KiB (414), headers {HEADERS_BYTES // KIB} KiB (431), fields
{FIELDS_BYTES // KIB} KiB in total (413), and a JSON text at most {MAX_VALUES} values, a form as many escapes (413 `too_complex`). A body that sends nothing for {PATIENCE_SECONDS:.0f} seconds, or averages less than
{SLOWEST // KIB} KiB per second, is rejected (408). Trailers and chunk extensions are refused (400). An account has at most {MAX_CONCURRENT_UPLOADS} concurrent uploads (429).
A response that the client does not take for {STALLED_RESPONSE_TIMEOUT_SECONDS:.0f} seconds is cut off: ask for the rest with `Range`."""
ERRORS_HEAD: Final = """
## Error codes

Nothing was changed, unless the message says otherwise.

| status | code | meaning |
|---|---|---|
"""
CLIENT: Final = """
## A client for any language

From the OpenAPI document, in Python:

```sh
echo 'content_type_overrides: {application/x-ndjson: application/octet-stream, application/partial-upload: application/octet-stream}' >client.yaml
openapi-python-client generate --url https://tape.example.com/openapi.json --config client.yaml
```

Lines of JSON and parts are bytes to it; hence the override.
"""


def page() -> str:
    with tempfile.TemporaryDirectory() as folder:
        document = create_app(build(Settings(data=Path(folder))).services).openapi()
    headers = "".join(
        f"| `{header['name']}: {header['example']}` | {header['description']} |\n"
        for header in document["components"]["parameters"].values()
    )
    head = HEAD.format(headers=headers, limits=LIMITS)
    return head + "".join(route_rows(document)) + ERRORS_HEAD + "".join(code_rows()) + CLIENT


def route_rows(document: dict[str, Any]) -> Iterator[str]:
    """Say what each route does; those that differ in their path alone have one row."""
    rows: dict[tuple[str, str], list[str]] = {}
    for path, methods in document["paths"].items():
        for method, route in methods.items():
            does = " ".join(route.get("description", "").split()).partition(". ")[0].removesuffix(".")
            rows.setdefault((method.upper(), does), []).append(path)
    for (method, does), paths in rows.items():
        yield f"| {method} {in_short(paths)} | {does} |\n"


def in_short(paths: Sequence[str]) -> str:
    """Name as one the paths that differ only in the kind of thing that has the id."""
    found = [each for each in map(OF_A_KIND.fullmatch, paths) if each is not None]
    if len(paths) == len(found) > 1 == len({each[3] for each in found}):
        return f"{found[0][1]}/{{{','.join(each[2] for each in found)}}}/{{id}}{found[0][3]}"
    return ", ".join(paths)


def code_rows() -> Iterator[str]:
    """Say what each error with a code and status means; the framework's own are none of ours."""
    for status, codes in codes_by_status().items():
        for code in codes:
            said = [
                re.sub(
                    r" ?Nothing was changed[.;]( \w)?",
                    lambda m: (m[1] or "").upper(),
                    worded(reply.message or wording(kind), reply),
                )
                for kind, reply in REPLIES.items()
                if (reply.status, reply.code) == (status, code)
            ]
            meaning = " Or: ".join(dict.fromkeys(said)) or ERROR_EXAMPLES[code]["description"]
            yield f"| {status} | `{code}` | {meaning} |\n"


if __name__ == "__main__":
    sys.stdout.write(page())
