"""Reads the forms of pages; what they say is checked by the API, to which they go on as JSON."""

from typing import Final
from urllib.parse import parse_qsl

from fastapi import Request

from api.errors import BodyTooLargeError, UnparsableError
from api.requests.parameters import number_of

MAX_FORM_BYTES: Final = 256 * 1024
MAX_FIELDS: Final = 1000


class Form(dict[str, str]):
    """The fields of a form; of several with one name, the last."""

    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        super().__init__(pairs)
        self._pairs: Final = pairs

    def all(self, name: str) -> list[str]:
        """Return the values of every field with this name."""
        return [value for each, value in self._pairs if each == name]

    def number(self, name: str) -> int | None:
        """Return a field as a whole number; None where it is none."""
        return number_of(self.get(name, ""))


async def form_of(request: Request) -> Form:
    """Read an urlencoded form; raises BodyTooLargeError or UnparsableError."""
    content = b""
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_FORM_BYTES:
            raise BodyTooLargeError(MAX_FORM_BYTES)
    try:
        return Form(parse_qsl(content.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError as error:
        raise UnparsableError("The form cannot be read. Nothing was changed.") from error
