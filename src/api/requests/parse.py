"""Reads a request's body without holding a thread while the client sends it."""

from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import parse_qsl

from fastapi import Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import BOUNDARY_PADDING, MultipartParser, parse_options_header

from aggregates.errors import InvalidFieldError
from api.errors import BodyTooComplexError, BodyTooLargeError, UnparsableError, UnsupportedBodyError
from api.middleware.request_limits import FIELDS_BYTES, Most, allow
from api.requests.body import Body
from api.requests.known_names import known_fields, require_known_fields
from api.services import Services
from eventstore.untrusted import MAX_VALUES, TooComplexError, parsed
from storage.errors import TooLargeError
from storage.upload import Staged, Staging

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks


PARTS: Final = 100


class MultipartReader:
    """Parses the body chunk by chunk. Its staged files are deleted when the `with` block ends."""

    def __init__(
        self, content_type: str, folder: Path, files: Mapping[str, int], known: Collection[str]
    ) -> None:
        self.fields: dict[str, str] = {}
        self.staged: dict[str, Staged] = {}
        self._folder = folder
        self._files = files
        self._known = known
        self._keep = ExitStack()
        self._boundaries = 0
        self._field_bytes = 0
        self._ended = False
        self._header_name = self._header_value = b""
        self._begin_part()
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if not boundary:
            raise UnparsableError("The multipart body names no boundary. Nothing was changed.")
        self._boundary = b"\r\n--" + boundary
        try:
            self._parser = MultipartParser(boundary, self._callbacks())
        except FormParserError as error:
            raise UnparsableError(f"{error}. Nothing was changed.") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._keep.__exit__(kind, error, trace)

    def feed(self, chunk: bytes) -> None:
        """The parser compares a boundary, also one within a part, and what follows it byte by byte: both are few here."""
        self._boundaries += chunk.count(self._boundary)
        if self._boundaries > PARTS:
            raise UnparsableError(f"The body has more than {PARTS} parts. Nothing was changed.")
        is_padded = any(self._boundary + blank in chunk for blank in (b" ", b"\t"))
        if is_padded or self._parser.state == BOUNDARY_PADDING:
            raise UnparsableError("A boundary of the body is followed by blanks. Nothing was changed.")
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise UnparsableError(
                f"The multipart body cannot be parsed: {error}. Nothing was changed."
            ) from None

    def finish(self) -> None:
        """Raise UnparsableError for a body that was cut off."""
        if not self._ended:
            raise UnparsableError("The multipart body ends before its last boundary. Nothing was changed.")

    def _callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin_part,
            "on_header_field": self._take_header_name,
            "on_header_value": self._take_header_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._begin_data,
            "on_part_data": self._take_data,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def _begin_part(self) -> None:
        self._disposition = b""
        self._name = ""
        self._filename: bytes | None = None
        self._text = bytearray()
        self._staging: Staging | None = None

    def _take_header_name(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _take_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = self._header_value
        self._header_name = self._header_value = b""

    def _begin_data(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise UnparsableError("A part has no name. Nothing was changed.")
        self._name = _decoded(options[b"name"], "name of a part")
        require_known_fields([self._name], self._known)
        self._filename = options.get(b"filename")
        if self._filename is not None:
            if self._name not in self._files:
                raise InvalidFieldError(self._name, "must be a text, not a file")
            self._staging = self._keep.enter_context(Staging(self._folder, self._files[self._name]))

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        if self._staging is not None:
            self._staging.write(data[start:end])
            return
        self._field_bytes += end - start
        if self._field_bytes > FIELDS_BYTES:
            raise BodyTooLargeError(FIELDS_BYTES)
        self._text += data[start:end]

    def _end_part(self) -> None:
        if self._staging is not None:
            self._end_file(self._staging)
        elif self._name in self.fields:
            raise _twice(self._name)
        else:
            self.fields[self._name] = _decoded(self._text, self._name)

    def _end_file(self, staging: Staging) -> None:
        staged = self._keep.enter_context(staging.finish())
        if not staged.size and not self._filename:
            return  # a browser's empty file input
        if self._name in self.staged:
            raise _twice(self._name)
        self.staged[self._name] = staged

    def _end(self) -> None:
        self._ended = True


def _twice(name: str) -> UnparsableError:
    return UnparsableError(f"The part {name!r} is there twice. Nothing was changed.")


def _decoded(value: bytes | bytearray, what: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise UnparsableError(f"The {what} is not UTF-8. Nothing was changed.") from None


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
