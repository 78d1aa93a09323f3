"""JSON answers that can always be written: text that is no valid UTF-8 goes out escaped."""

import json
from typing import Any

from fastapi.responses import JSONResponse


class AsciiJsonResponse(JSONResponse):
    """Escapes all but ASCII, so that a lone surrogate in an echoed value breaks no answer."""

    def render(self, content: Any) -> bytes:
        """Write the content."""
        return json.dumps(content, separators=(",", ":")).encode("ascii")
