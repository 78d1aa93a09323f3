"""What another program sends, JSON, numbers, text and bodies: parsed in a few milliseconds, whatever they hold, or refused.

A small text can make many objects: 15 MB of empty lists hold the interpreter for seconds, from a thread too.
"""

import json
import unicodedata
from collections.abc import AsyncIterator
from typing import Any, Final, NoReturn

MAX_VALUES: Final = 20_000
"""Of one text, counted by its brackets and commas, those within texts too: more take over 10 ms to parse and to encode again."""
MAX_DEPTH: Final = 64
MAX_INTEGER_DIGITS: Final = 20
"""JSON between servers holds no integers of more than 64 bits."""
MAX_NUMBER_DIGITS: Final = 18
"""Of a number alone: every database holds it as it is."""


class TooComplexError(ValueError):
    """The text may be JSON, and has too many values to parse."""


def parsed(content: bytes, *, max_values: int = MAX_VALUES) -> Any:
    """Parse; raises ValueError for what is not JSON, repeats a name or nests too deeply, TooComplexError before parsing."""
    if sum(map(content.count, (b",", b"[", b"{"))) > max_values:
        raise TooComplexError(f"more than {max_values} values")

    def integer(text: str) -> int:
        if len(text) > MAX_INTEGER_DIGITS:
            raise ValueError("an integer is too large")
        return int(text)

    def not_a_number(name: str) -> NoReturn:
        raise ValueError(f"{name} is not JSON")

    def without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs):
            raise ValueError("a name is repeated")
        return value

    hooks: dict[str, Any] = {
        "parse_int": integer,
        "parse_constant": not_a_number,
        "object_pairs_hook": without_repetition,
    }
    try:
        value = json.loads(content.decode(), **hooks)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    level = [value]
    for _ in range(MAX_DEPTH):
        containers = [each for each in level if isinstance(each, dict | list)]
        level = [
            inner for each in containers for inner in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return value
    raise ValueError("nested too deeply")


def whole_number(text: str) -> int | None:
    """Return a text of ASCII digits as a number; None for any other text, and for more than 18 digits."""
    is_one = len(text) <= MAX_NUMBER_DIGITS and text.isascii() and text.isdecimal()
    return int(text) if is_one else None


def clean(text: object, length: int | None = None) -> str:
    """Return the text, or at most `length` characters of it, with NUL and lone surrogates replaced."""
    return str(text)[:length].encode("utf-8", "replace").decode().replace("\0", "\ufffd")


NOT_IN_FILE_NAMES: Final = frozenset('\\/:*?"<>|')
MAX_FILE_NAME_BYTES: Final = 200
DEVICES: Final = frozenset(
    {"con", "prn", "aux", "nul"} | {f"{port}{number}" for port in ("com", "lpt") for number in range(1, 10)}
)
"""On Windows no file or folder may be called so, with any extension."""


def file_name(text: str) -> str:
    """Return the text as a name, without extension, that every file system can hold."""
    cut = text[:MAX_FILE_NAME_BYTES]
    shown = "".join(each for each in cut if each.isprintable() and each not in NOT_IN_FILE_NAMES)
    short = unicodedata.normalize("NFC", shown).encode()[:MAX_FILE_NAME_BYTES].decode(errors="ignore")
    name = " ".join(short.split()).strip(". ") or "untitled"
    return f"_{name}" if name.partition(".")[0].strip().casefold() in DEVICES else name


def is_storable(value: Any) -> bool:
    """Whether every database stores this JSON value as it is."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False)
        text.encode()
    except ValueError:
        return False
    return "\\u0000" not in text


async def read_within(limit: int, chunks: AsyncIterator[bytes], announced: str) -> bytes | None:
    """Read a body, or None if it has more than `limit` bytes or its `announced` Content-Length says so; the rest stays unread."""
    if (whole_number(announced) or 0) > limit:
        return None
    content = bytearray()
    async for chunk in chunks:
        content += chunk
        if len(content) > limit:
            return None
    return bytes(content)
