"""Splits a page of listRecords into its entries, and parses each record by itself, within the limits of foreign JSON.

The JSON of a record stays bytes until it is needed: parsed, it can take twenty times the memory.
"""

from dataclasses import dataclass
from typing import Any, Final

import msgspec

from eventstore.untrusted import MAX_INTEGER_DIGITS, parsed
from outbox.pds.client import MAX_RECORD_BYTES, Remote
from outbox.record.dag_cbor import is_record_cid
from outbox.record.kind import GENERATION

RECORDS_PER_PAGE: Final = 100
MAX_URI_BYTES: Final = 8 * 1024
MAX_CID_BYTES: Final = 256
ABSENT: Final = msgspec.Raw()


class UnreadableRecordError(ValueError):
    """The record in an entry is no record, or too large to parse; the message says so."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A record as a page lists it. Its key and its CID are None where the entry names none, its JSON where it is too large."""

    uri: str
    cid: str | None
    json: bytes | None

    @property
    def rkey(self) -> str | None:
        return self.uri.rpartition("/")[2] or None if "/" in self.uri else None

    @property
    def generation(self) -> int | None:
        """Return the generation that the record names; its other values are passed over, however many they are."""
        try:
            named = _GENERATIONS.decode(self.json or b"").generation
            return _NUMBERS.decode(named) if len(memoryview(named)) <= MAX_INTEGER_DIGITS else None
        except (ValueError, RecursionError):
            return None

    def record(self) -> Remote:
        if self.rkey is None or self.cid is None:
            raise UnreadableRecordError("the PDS lists it without a key or with an invalid CID")
        if self.json is None:
            raise UnreadableRecordError(f"has more than {MAX_RECORD_BYTES} bytes")
        try:
            value = parsed(self.json)
        except ValueError as error:
            raise UnreadableRecordError(f"cannot be read: {error}") from None
        if not isinstance(value, dict):
            raise UnreadableRecordError("is no JSON object")
        return Remote(self.cid, value)


_Raws: Any = msgspec.defstruct(
    "_Raws",
    [(f"raw{number}", msgspec.Raw, ABSENT) for number in range(RECORDS_PER_PAGE)],
    array_like=True,
    forbid_unknown_fields=True,
)
"""An array of at most RECORDS_PER_PAGE elements; decoding ends at the next one, where a list would take them all."""


class _Page(msgspec.Struct):
    records: _Raws
    cursor: str | None = None


class _Fields(msgspec.Struct):
    uri: msgspec.Raw = ABSENT
    cid: msgspec.Raw = ABSENT
    value: msgspec.Raw = ABSENT


class _Generation(msgspec.Struct, rename={"generation": GENERATION}):
    generation: msgspec.Raw = ABSENT


_PAGES: Final = msgspec.json.Decoder(_Page)
_FIELDS: Final = msgspec.json.Decoder(_Fields)
_GENERATIONS: Final = msgspec.json.Decoder(_Generation)
_NUMBERS: Final = msgspec.json.Decoder(int)
_TEXTS: Final = msgspec.json.Decoder(str)


def split(page: bytes) -> tuple[list[msgspec.Raw], str | None]:
    """Return the entries of a page, unread, and its cursor; raises ValueError."""
    try:
        found = _PAGES.decode(page)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return [raw for raw in msgspec.structs.astuple(found.records) if raw is not ABSENT], found.cursor


def entry_in(raw: msgspec.Raw) -> Entry:
    """Read an entry, its record excepted."""
    try:
        fields = _FIELDS.decode(raw)
    except ValueError:
        return Entry("", None, None)
    cid = _text(fields.cid, MAX_CID_BYTES)
    has_record = 0 < len(memoryview(fields.value)) <= MAX_RECORD_BYTES
    return Entry(
        _text(fields.uri, MAX_URI_BYTES),
        cid if is_record_cid(cid) else None,
        bytes(fields.value) if has_record else None,
    )


def _text(raw: msgspec.Raw, limit: int) -> str:
    """Decode a short text; empty for anything else."""
    if len(memoryview(raw)) > limit:
        return ""
    try:
        return _TEXTS.decode(raw)
    except ValueError:
        return ""
