"""The fields and files of a request body, JSON or form, read without holding a thread while the client sends it."""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Collection, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import parse_qsl

from fastapi import Request
from pydantic import BaseModel, ValidationError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from aggregates.errors import InvalidFieldError
from api.error_responses import rule_of
from api.errors import (
    BodyTooComplexError,
    BodyTooLargeError,
    MissingPartError,
    UnparsableError,
    UnsupportedBodyError,
)
from api.middleware.http_layer import FIELDS_BYTES, Most, allow
from api.openapi import JSON
from api.requests.parameters import known_fields, require_known_fields
from api.services import Services
from eventstore.untrusted import MAX_VALUES, TooComplexError, parsed
from storage.errors import TooLargeError
from storage.stores.store import store_seconds
from storage.uploads.upload import Staged, Staging

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

NONE: Final = (None, "")


@dataclass(frozen=True)
class Body:
    """An absent field changes nothing, an empty text or null clears. In a form, structured fields are JSON text."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, Staged] = field(default_factory=dict)
    is_form: bool = False
    names: Mapping[str, str] = field(default_factory=dict)
    """Of files, as their client calls them."""

    def digest(self, beside: str) -> str:
        """Return a hash of the content, independent of how the parts were framed, and of what is said beside the body."""
        files = {name: [staged.cid, staged.size] for name, staged in self.files.items()}
        content = [self.fields, files, self.is_form, *([beside] if beside else [])]
        return sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def file(self, name: str) -> Staged:
        """Return a file part; raises MissingPartError."""
        if name not in self.files:
            raise MissingPartError(name)
        return self.files[name]


M = TypeVar("M", bound=BaseModel)


def fields_as(model: type[M], body: Body) -> M:
    """Return the model; an empty text or null stands for the default of a field. Raises MissingPartError or InvalidFieldError."""
    known = {name: each for name, each in model.model_fields.items() if name in body.fields}
    fields = {
        name: each.default if body.fields[name] in NONE and not each.is_required() else body.fields[name]
        for name, each in known.items()
    }
    try:
        return model.model_validate(fields, context=body.is_form)
    except ValidationError as error:
        first = error.errors()[0]
    field, *inside = map(str, first["loc"])
    if first["type"] == "missing" and not inside:
        raise MissingPartError(field)
    raise InvalidFieldError(field, rule_of(first["msg"]))


def given_in(model: type[BaseModel], body: Body) -> dict[str, Any]:
    """Return the fields that the body has, as the model checks them; raises as `fields_as`."""
    fields = fields_as(model, body)
    return {name: getattr(fields, name) for name in fields.model_fields_set}


PARTS: Final = 100


class MultipartReader(ExitStack):
    """Parses the body chunk by chunk. Its staged files are deleted when the `with` block ends."""

    def __init__(
        self, content_type: str, folder: Path, files: Mapping[str, int], known: Collection[str]
    ) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.staged: dict[str, Staged] = {}
        self.names: dict[str, str] = {}
        self._folder = folder
        self._files = files
        self._known = known
        self._has_begun = False
        self._last = b""
        """The end of the chunk before: a boundary may begin there."""
        self._boundaries = 0
        self._field_bytes = 0
        self._ended = False
        self._header_name, self._header_value = bytearray(), bytearray()
        self._begin_part()
        _, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if not boundary:
            raise UnparsableError("The multipart body names no boundary. Nothing was changed.")
        self._boundary = b"\r\n--" + boundary
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._begin_part,
            "on_header_field": lambda data, start, end: self._header_name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header_value.extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._begin_data,
            "on_part_data": self._take_data,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }
        try:
            self._parser = MultipartParser(boundary, callbacks)
        except FormParserError as error:
            raise UnparsableError(f"{error}. Nothing was changed.") from None

    def feed(self, chunk: bytes) -> None:
        """The parser compares a boundary, also one within a part, and what follows it byte by byte: both are few here.

        After a line break at the beginning, it would skip what the chunk has before the first boundary, and refuse the same in a later chunk.
        """
        if not self._has_begun:
            chunk = chunk.lstrip(b"\r\n")
            self._has_begun = bool(chunk)
        seen = self._last + chunk
        self._last = seen[-len(self._boundary) :]
        self._boundaries += seen.count(self._boundary, 1)  # one at 0 was counted with the chunk before
        if self._boundaries > PARTS:
            raise UnparsableError(f"The body has more than {PARTS} parts. Nothing was changed.")
        if any(self._boundary + blank in seen for blank in (b" ", b"\t")):
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

    def _begin_part(self) -> None:
        self._disposition = b""
        self._name = ""
        self._filename: bytes | None = None
        self._text = bytearray()
        self._staging: Staging | None = None

    def _end_header(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = bytes(self._header_value)
        self._header_name.clear()
        self._header_value.clear()

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
            self._staging = self.enter_context(Staging(self._folder, self._files[self._name]))

    def _take_data(self, data: bytes, start: int, end: int) -> None:
        if self._staging is not None:
            self._staging.write(data[start:end])
            return
        self._field_bytes += end - start
        if self._field_bytes > FIELDS_BYTES:
            raise BodyTooLargeError(FIELDS_BYTES)
        self._text += data[start:end]

    def _end_part(self) -> None:
        staged = None if self._staging is None else self.enter_context(self._staging.finish())
        if staged is not None and not staged.size and not self._filename:
            return  # a browser's empty file input
        if self._name in (self.fields if staged is None else self.staged):
            raise UnparsableError(f"The part {self._name!r} is there twice. Nothing was changed.")
        if staged is None:
            self.fields[self._name] = _decoded(self._text, self._name)
        else:
            self.staged[self._name] = staged
            self.names[self._name] = (self._filename or b"").decode(errors="replace")

    def _end(self) -> None:
        self._ended = True


def _decoded(value: bytes | bytearray, what: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise UnparsableError(f"The {what} is not UTF-8. Nothing was changed.") from None


MULTIPART: Final = "multipart/form-data"
PARTIAL_UPLOAD: Final = "application/partial-upload"
PART: Final = "part"
"""The file of an append."""
URLENCODED: Final = "application/x-www-form-urlencoded"
CHUNK_BYTES: Final = 256 * 1024


@asynccontextmanager
async def received_body(
    request: Request, services: Services, files: Mapping[str, int]
) -> AsyncGenerator[Body]:
    """Read the body; `files` names the expected file parts, each with its limit in bytes. Raises UnknownFieldError."""
    known = known_fields(request)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == PARTIAL_UPLOAD and PART in files:
        allow(request, Most(files[PART], partial(TooLargeError, files[PART])))
        with Staging(services.staging, files[PART]) as staging:
            async for chunk in _gathered(request):
                await services.media_threads.staging.run(store_seconds(len(chunk)), staging.write, chunk)
            with staging.finish() as staged:
                yield Body(files={PART: staged})
        return
    if kind != MULTIPART:
        body = await _small(request, kind)
        require_known_fields(body.fields, known)
        yield body
        return
    most = max(files.values(), default=FIELDS_BYTES)
    refusal = partial(TooLargeError if files else BodyTooLargeError, most)
    allow(request, Most(sum(files.values()) + 2 * FIELDS_BYTES, refusal))
    with MultipartReader(request.headers["content-type"], services.staging, files, known) as reader:
        empty = True
        async for chunk in _gathered(request):
            empty = False
            await services.media_threads.staging.run(store_seconds(len(chunk)), reader.feed, chunk)
        if not empty:
            reader.finish()
        yield Body(reader.fields, reader.staged, is_form=True, names=reader.names)


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
    if kind != JSON and not kind.endswith("+json"):
        raise UnsupportedBodyError
    try:
        fields = parsed(content)
    except TooComplexError:
        raise BodyTooComplexError from None
    except ValueError as error:
        raise UnparsableError(f"The body is not JSON: {error}. Nothing was changed.") from None
    if not isinstance(fields, dict):
        raise UnparsableError("The body must be a JSON object. Nothing was changed.")
    return Body(fields)


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
