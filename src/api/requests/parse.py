"""Reads a request's body without holding a thread while the client sends it."""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final
from urllib.parse import parse_qsl

from fastapi import Request

from api.errors import BodyTooComplexError, BodyTooLargeError, UnparsableError, UnsupportedBodyError
from api.middleware.request_limits import FIELDS_BYTES, Most, allow
from api.requests.body import Body
from api.requests.known_names import known_fields, require_known_fields
from api.requests.multipart import PARTS, MultipartReader
from api.services import Services
from eventstore.untrusted import MAX_VALUES, TooComplexError, parsed
from storage.errors import TooLargeError

JSON: Final = "application/json"
MULTIPART: Final = "multipart/form-data"
URLENCODED: Final = "application/x-www-form-urlencoded"
CHUNK_BYTES: Final = 256 * 1024


@asynccontextmanager
async def received_body(
    request: Request, services: Services, files: Mapping[str, int]
) -> AsyncGenerator[Body]:
    """Read the body; `files` names the expected file parts, each with its limit in bytes. Raises UnknownFieldError."""
    known = known_fields(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != MULTIPART:
        body = await _small(request, kind)
        require_known_fields(body.fields, known)
        yield body
        return
    allow(request, _most(files))
    with MultipartReader(request.headers["content-type"], services.staging, files, known) as reader:
        empty = True
        async for chunk in _gathered(request):
            empty = False
            await services.media_threads.staging.run(reader.feed, chunk)
        if not empty:
            reader.finish()
        yield Body(reader.fields, reader.staged, is_form=True)


def _most(files: Mapping[str, int]) -> Most:
    refusal = (
        partial(TooLargeError, max(files.values())) if files else partial(BodyTooLargeError, FIELDS_BYTES)
    )
    return Most(sum(files.values()) + 2 * FIELDS_BYTES, refusal)


async def _gathered(request: Request) -> AsyncIterator[bytes]:
    """Yield the body in chunks large enough to be worth a thread hop."""
    gathered = bytearray()
    async for chunk in request.stream():
        gathered += chunk
        if len(gathered) >= CHUNK_BYTES:
            yield bytes(gathered)
            gathered.clear()
    if gathered:
        yield bytes(gathered)


async def _small(request: Request, kind: str) -> Body:
    content = await request.body()
    if not content:
        return Body()
    if kind == URLENCODED:
        return Body(_form(content), is_form=True)
    if kind == JSON or kind.endswith("+json"):
        return Body(json_object(content))
    raise UnsupportedBodyError


def _form(content: bytes) -> dict[str, str]:
    if content.count(b"%") > MAX_VALUES:
        raise BodyTooComplexError
    try:
        pairs = parse_qsl(content.decode(), keep_blank_values=True, errors="strict", max_num_fields=PARTS)
    except ValueError as error:
        raise UnparsableError(f"The form cannot be parsed: {error}. Nothing was changed.") from None
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise UnparsableError("A name is there twice. Nothing was changed.")
    return fields


def json_object(content: bytes) -> dict[str, Any]:
    """Parse a JSON object; raises UnparsableError, also for a repeated name."""
    try:
        body = parsed(content)
    except TooComplexError:
        raise BodyTooComplexError from None
    except ValueError as error:
        raise UnparsableError(f"The body is not JSON: {error}. Nothing was changed.") from None
    if not isinstance(body, dict):
        raise UnparsableError("The body must be a JSON object. Nothing was changed.")
    return body
