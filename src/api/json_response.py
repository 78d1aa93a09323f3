"""JSON answers that can always be written: text that is no valid UTF-8 goes out escaped."""

import json
from collections.abc import Mapping
from typing import Any

from fastapi import Response
from fastapi.responses import JSONResponse

from eventstore.idempotency.results import CommandResult


class AsciiJsonResponse(JSONResponse):
    """Escapes all but ASCII, so that a lone surrogate in an echoed value breaks no answer."""

    def render(self, content: Any) -> bytes:
        """Write the content."""
        return json.dumps(content, separators=(",", ":")).encode("ascii")


def response_of(answer: CommandResult, headers: Mapping[str, str] | None = None) -> Response:
    """Send it."""
    return AsciiJsonResponse(
        answer.body, status_code=answer.status, headers={**answer.headers, **(headers or {})}
    )
