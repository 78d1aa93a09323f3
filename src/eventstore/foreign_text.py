"""Text that another server chose, in a form that every database stores: PostgreSQL refuses NUL, and both refuse lone surrogates."""

import json
from typing import Any


def clean(text: object, length: int | None = None) -> str:
    """Return the text, or at most `length` characters of it, with NUL and lone surrogates replaced."""
    return str(text)[:length].encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def is_storable(value: Any) -> bool:
    """Whether every database stores this JSON value as it is."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except ValueError:
        return False
    return "\\u0000" not in text
