"""JSON responses in ASCII, so that any text can be sent."""

import json
from collections.abc import Mapping
from typing import Any

from fastapi import Response
from fastapi.responses import JSONResponse

from eventstore.idempotency.results import CommandResult


class AsciiJsonResponse(JSONResponse):
    """Escapes everything but ASCII, so that a lone surrogate in an echoed value breaks no response."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, separators=(",", ":")).encode("ascii")


def response_of(answer: CommandResult, headers: Mapping[str, str] | None = None) -> Response:
    return AsciiJsonResponse(
        answer.body, status_code=answer.status, headers={**answer.headers, **(headers or {})}
    )
