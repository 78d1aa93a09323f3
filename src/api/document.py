"""The OpenAPI document: what FastAPI knows of the routes, completed with credentials, headers and examples.

What a route needs of them is read from its dependencies, so that no route says it twice.
"""

import json
from collections.abc import Callable
from functools import cached_property
from typing import Any, Final

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute

from api.auth.authentication import optional_caller, session_cookie, signed_in
from api.examples import IN, example_of
from api.middleware.request_threads import in_thread
from api.openapi import ERROR_EXAMPLES, JSON, calls_of, error_schemas
from api.pipeline.command_request import command_request
from api.pipeline.idempotent_request import KEY, idempotent_request
from api.requests.parameters import MAX_WAIT_SECONDS, preferred_wait

CREDENTIALS: Final[list[dict[str, list[str]]]] = [{"token": []}, {"session": []}]
ANONYMOUS: Final[dict[str, list[str]]] = {}


def _header(name: str, description: str, example: str, **schema: Any) -> dict[str, Any]:
    return {
        "name": name,
        "in": "header",
        "description": description,
        "schema": {"type": "string", **schema},
        "example": example,
    }


HEADERS: Final = {
    "if-match": _header(
        "If-Match",
        "apply the request only to this version, otherwise 412. A track's `ETag` is its version",
        '"2"',
    ),
    "idempotency-key": _header(
        "Idempotency-Key",
        "the same key and body return the first response again for 24 hours; 409 while the first is running. "
        "A response over 64 KB of work that may be done twice (a comparison, an adoption) is not kept. "
        "Keys belong to an account: signing in or out and switching accounts ignore them",
        "a2c41c5e",
        pattern=f"^{KEY.pattern}$",
    ),
    "prefer": _header(
        "Prefer",
        f"wait up to so many seconds (0 to {MAX_WAIT_SECONDS}) for the record on the PDS, or for what else the route begins; "
        "the response shows how far it got",
        "wait=10",
    ),
}
TAKES: Final[dict[Callable[..., Any], tuple[str, ...]]] = {
    command_request: ("if-match", "idempotency-key", "prefer"),
    idempotent_request: ("idempotency-key",),
    preferred_wait: ("prefer",),
}
"""The headers that a dependency reads from the request itself."""


class DocumentedApp(FastAPI):
    """An application whose document is complete."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            _complete(super().openapi(), self)
        return super().openapi()

    @cached_property
    def document(self) -> bytes:
        return json.dumps(self.openapi(), separators=(",", ":")).encode()


async def read_document(request: Request) -> Response:
    """Return the document; made in a thread when it is first asked for."""
    return Response(await in_thread(lambda: request.app.document), media_type=JSON)


def _complete(document: dict[str, Any], app: FastAPI) -> None:
    parts = document["components"]
    parts["schemas"] |= error_schemas()
    parts["securitySchemes"] = {
        "token": {
            "type": "http",
            "scheme": "bearer",
            "description": "A token of POST /auth/tokens, or of a sign-in.",
        },
        "session": {
            "type": "apiKey",
            "in": "cookie",
            "name": session_cookie(app.state.services),
            "description": "The session cookie that a sign-in sets.",
        },
    }
    parts["parameters"] = HEADERS
    parts["examples"] = ERROR_EXAMPLES
    for route in app.routes:
        if not isinstance(route, APIRoute) or not route.include_in_schema:
            continue
        calls = set(calls_of(route.dependant))
        for method in route.methods or ():
            name = f"{method} {route.path_format}"
            operation = document["paths"][route.path_format][method.lower()]
            if {signed_in, command_request} & calls:
                operation["security"] = CREDENTIALS
            elif optional_caller in calls:
                operation["security"] = [ANONYMOUS, *CREDENTIALS]
            taken = dict.fromkeys(header for call in TAKES if call in calls for header in TAKES[call])
            if taken:
                refs = [{"$ref": f"#/components/parameters/{header}"} for header in taken]
                operation["parameters"] = [*operation.get("parameters", ()), *refs]
            for content in operation.get("requestBody", {}).get("content", {}).values():
                owner = name if name in IN else "request"
                content["example"] = example_of(content["schema"], parts["schemas"], owner, name)
            for status, response in operation["responses"].items():
                content = response.get("content", {}).get(JSON)
                if status.startswith("2") and content is not None:
                    content["example"] = example_of(content["schema"], parts["schemas"], "", name)
    _name_large_numbers(document)


def _name_large_numbers(part: Any) -> None:
    """Give whole numbers 64 bits where nothing limits them, as ids: clients that are generated for some languages would have 32."""
    if isinstance(part, dict):
        if part.get("type") == "integer" and "maximum" not in part:
            part["format"] = "int64"
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            _name_large_numbers(each)
