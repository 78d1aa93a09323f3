"""Which values a record without a known lexicon may hold, how they are stored, and the type of a blob's bytes."""

import hashlib
import re
from base64 import b32encode
from collections.abc import Iterator
from typing import Any

import libipld

from outbox.record.dag_cbor import UnencodableError, decode, encode
from tests.fake_pds.xrpc import broken, invalid

RKEY = re.compile(r"[A-Za-z0-9._:~-]{1,512}")
CID = re.compile(r"b[a-z2-7]{58}")
MAX_INTEGER = 2**53 - 1
SURROGATES = re.compile("[\ud800-\udfff]")
SIGNATURES = (
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (0, b"\xff\xf3", "audio/mpeg"),
    (0, b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"fLaC", "audio/flac"),
    (4, b"ftypM4A", "audio/x-m4a"),
    (8, b"WAVE", "audio/wav"),
)


def as_stored(record: Any, collection: str) -> tuple[dict[str, Any], str]:
    if not isinstance(record, dict):
        raise invalid("Input/record must be an object")
    record = _plain(record)
    found = record.setdefault("$type", collection)
    if found != collection:
        raise invalid(f"Invalid $type: expected {collection}, got {found}")
    try:
        content = encode(record)
        return decode(content), cid_of_bytes(content, b"\x01\x71\x12\x20")
    except UnencodableError:  # such as a "$link" that is no CID: kept as it is
        return record, cid_of_bytes(bytes(libipld.encode_dag_cbor(record)), b"\x01\x71\x12\x20")


def _plain(value: Any) -> Any:
    match value:
        case float() if not value.is_integer():
            raise invalid("Input/record must be a record: fractions are not allowed")
        case float():
            return _plain(int(value))
        case bool() | None:
            return value
        case int() if abs(value) > MAX_INTEGER:
            raise broken()
        case str():
            return SURROGATES.sub("\ufffd", value)
        case list():
            return [_plain(item) for item in value]
        case dict():
            return {_plain(key): _plain(item) for key, item in value.items()}
    return value


def checked_rkey(rkey: Any) -> str:
    if not isinstance(rkey, str) or not RKEY.fullmatch(rkey) or rkey in {".", ".."}:
        raise invalid(f"Invalid record key: {rkey}")
    return rkey


def checked_cid(cid: Any) -> str:
    if not isinstance(cid, str) or not CID.fullmatch(cid):
        raise invalid(f"Invalid CID: {cid}")
    return cid


def blobs_in(value: Any) -> Iterator[dict[str, Any]]:
    """Every blob reference, however deep it lies. What lacks a part of one is plain data."""
    match value:
        case {"$type": "blob", "ref": {"$link": str()}, "mimeType": str(), "size": int()}:
            yield value
        case {"cid": str(), "mimeType": str(), **rest} if not rest:
            raise invalid(f"Legacy blobs are not allowed ({value['cid']})")
        case dict():
            for item in value.values():
                yield from blobs_in(item)
        case list():
            for item in value:
                yield from blobs_in(item)


def blob_cid(content: bytes) -> str:
    return cid_of_bytes(content, b"\x01\x55\x12\x20")


def cid_of_bytes(content: bytes, prefix: bytes) -> str:
    return "b" + b32encode(prefix + hashlib.sha256(content).digest()).decode().lower().rstrip("=")


def sniffed(content: bytes, declared: str) -> str:
    """The MIME type by the signature of the bytes, or else the one in the request."""
    for offset, signature, mime in SIGNATURES:
        if content[offset:].startswith(signature):
            return mime
    return declared
