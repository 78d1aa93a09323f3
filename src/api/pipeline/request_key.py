"""Reads the Idempotency-Key header."""

import re
from typing import Final

from fastapi import Request

from api.errors import UnparsableError
from eventstore.idempotency.results import RequestKey

KEY: Final = re.compile(r"[\x21-\x7e]{1,255}")


def request_key(did: str, request: Request) -> RequestKey | None:
    """Return the key of a request; without the header, every request is a new one."""
    header = request.headers.get("idempotency-key")
    if header is None:
        return None
    if KEY.fullmatch(header) is None:
        raise UnparsableError(
            "Idempotency-Key must be 1 to 255 visible ASCII characters. Nothing was changed."
        )
    return RequestKey(did, request.method, request.url.path, header)
