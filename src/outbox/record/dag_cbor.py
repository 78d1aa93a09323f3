"""Encodes records as DAG-CBOR, from which their CID is computed (https://atproto.com/specs/data-model).

The CID equals the PDS's for every record that `encode` accepts: it refuses what a PDS refuses or silently changes, such
as fractions, integers from 2^53 on, lone surrogates and broken links.
"""

import base64
import hashlib
from typing import Any, Final

import libipld

from eventstore.untrusted import MAX_VALUES, TooComplexError

MAX_INTEGER: Final = 2**53 - 1
CID_BYTES: Final = 36
CID_PREFIXES: Final = (b"\x01\x71\x12\x20", b"\x01\x55\x12\x20")  # CIDv1 sha-256: DAG-CBOR, raw

MAX_RECORD_BYTES: Final = 2**20
"""https://atproto.com/guides/data-validation"""
LINK: Final = b"\xd8"
"""The first byte of a link, which the encoder makes of any bytes that form a CID."""

Record = dict[str, Any]


class UnencodableError(ValueError):
    """The value cannot stand in a record."""


def encode(record: Record) -> bytes:
    """Return the canonical bytes of a record in ATProto's JSON form ({"$link": ...}, {"$bytes": ...})."""
    try:
        return bytes(libipld.encode_dag_cbor(_to_ipld(record)))
    except RecursionError as error:
        raise UnencodableError("it is nested too deeply") from error


def decode(data: bytes) -> Record:
    """Return the record in its JSON form."""
    record: Record = _to_json(libipld.decode_dag_cbor(data))
    return record


def record_cid(record: Record) -> str:
    """Return the CID that the PDS will report. `$type` must be there: a PDS adds it, which changes the CID."""
    return cid_of(encode(record))


def cid_of(encoded: bytes) -> str:
    return cid_text(CID_PREFIXES[0] + hashlib.sha256(encoded).digest())


def is_record_cid(text: str | None) -> bool:
    try:
        return text is not None and cid_bytes(text).startswith(CID_PREFIXES[0])
    except UnencodableError:
        return False


def _to_ipld(value: Any) -> Any:
    result: Any
    match value:
        case None | bool():
            result = value
        case int() if abs(value) <= MAX_INTEGER:
            result = value
        case str():
            result = _checked_text(value)
        case list() | tuple():
            result = [_to_ipld(item) for item in value]
        case {"$link": str(link), **rest} if not rest:
            result = cid_bytes(link)
        case {"$bytes": str(text), **rest} if not rest:
            result = _from_base64(text)
        case dict() if all(isinstance(key, str) for key in value):
            result = {_checked_text(key): _to_ipld(item) for key, item in value.items()}
        case _:
            raise UnencodableError(f"{value!r} cannot stand in a record")
    return result


def _to_json(value: Any) -> Any:
    match value:
        case bytes() if len(value) == CID_BYTES and value.startswith(CID_PREFIXES):
            return {"$link": cid_text(value)}
        case bytes():
            return {"$bytes": base64.b64encode(value).decode().rstrip("=")}
        case list():
            return [_to_json(item) for item in value]
        case dict():
            return {key: _to_json(item) for key, item in value.items()}
    return value


def _checked_text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UnencodableError(f"{value!r} holds a lone surrogate") from error
    return value


def cid_text(cid: bytes) -> str:
    return "b" + base64.b32encode(cid).decode().lower().rstrip("=")


def cid_bytes(link: str) -> bytes:
    try:
        raw = base64.b32decode(link[1:].upper() + "=" * (-len(link[1:]) % 8))
    except ValueError as error:
        raise UnencodableError(f"{link!r} is not a CID") from error
    if cid_text(raw) != link or len(raw) != CID_BYTES or not raw.startswith(CID_PREFIXES):
        raise UnencodableError(f"{link!r} is not a CID that ATProto allows")
    return raw


def _from_base64(text: str) -> bytes:
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError as error:
        raise UnencodableError(f"{text!r} is not base64") from error
    if libipld.encode_dag_cbor(data)[:1] == LINK:
        raise UnencodableError(f"{text!r} are bytes that the encoder would mistake for a link")
    return data


BYTES, TEXT = 2, 3
WIDTHS: Final = {24: 1, 25: 2, 26: 4, 27: 8}
"""Bytes of an argument that follows the first byte of a value."""
LAST_ARGUMENT: Final = 27


def require_few_values(data: bytes, *, max_values: int = MAX_VALUES) -> None:
    """Count values by their first bytes, without decoding any; raises TooComplexError, or ValueError for no DAG-CBOR."""
    at, left = 0, max_values
    while at < len(data):
        major, argument = data[at] >> 5, data[at] & 0x1F
        if argument > LAST_ARGUMENT:
            raise ValueError("not DAG-CBOR")
        at += 1
        if (width := WIDTHS.get(argument, 0)) > 0:
            argument = int.from_bytes(data[at : at + width])
            at += width
        if major in {BYTES, TEXT}:
            at += argument
        left -= 1
        if left < 0:
            raise TooComplexError(f"more than {max_values} values")
