"""The header that has a browser save a response as a file."""

from typing import Final
from urllib.parse import quote

UNSAFE: Final = frozenset('\\/:*?"<>|')
MAX_NAME_LENGTH: Final = 200


def attachment(name: str) -> str:
    """Return a Content-Disposition with a name that every file system can hold (RFC 6266)."""
    stem, _, extension = name.rpartition(".")
    clean = "".join(each for each in stem if each.isprintable() and each not in UNSAFE)
    stem = " ".join(clean[:MAX_NAME_LENGTH].split()).strip(". ") or "track"
    return f"attachment; filename*=UTF-8''{quote(f'{stem}.{extension}', safe='')}"
