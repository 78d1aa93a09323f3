"""The CID of media (CIDv1, raw, sha-256, base32), equal to the CID of a PDS blob with the same bytes, and the keys of copies."""

import hashlib
import re
import secrets
from base64 import b32decode, b32encode
from typing import Final

_PREFIX: Final = bytes((1, 0x55, 0x12, 0x20))  # CID version 1, raw, sha-256, 32 bytes
_KEY: Final = re.compile(r"(bafkrei[a-z2-7]{52})\.[0-9a-f]{16}")
_NAME: Final = re.compile(r"(bafkrei[a-z2-7]{52})\.[a-z0-9]{1,8}")

CID_BEGINNINGS: Final = tuple(f"bafkrei{letter}" for letter in "abcdefgh")
"""The possible beginnings of our CIDs: the last letter has two bits of the prefix and three of the digest."""


class CidHasher:
    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self.size = 0

    def update(self, chunk: bytes) -> None:
        self._digest.update(chunk)
        self.size += len(chunk)

    @property
    def cid(self) -> str:
        return "b" + b32encode(_PREFIX + self._digest.digest()).decode().rstrip("=").lower()


def cid_of(data: bytes) -> str:
    hasher = CidHasher()
    hasher.update(data)
    return hasher.cid


def sha256_of(cid: str) -> str:
    return b32decode(f"{cid[1:].upper()}======")[len(_PREFIX) :].hex()


def new_key(cid: str) -> str:
    """Make a key for one copy of the bytes. A key is never reused, so a late delete cannot hit a newer copy."""
    key = f"{cid}.{secrets.token_hex(8)}"
    cid_of_key(key)
    return key


def cid_of_key(key: str) -> str:
    """Return the CID of a copy; raises ValueError unless this is a key."""
    if (match := _KEY.fullmatch(key)) is None:
        msg = f"not a key of this store: {key!r}"
        raise ValueError(msg)
    return match[1]


def is_key(name: str) -> bool:
    return _KEY.fullmatch(name) is not None


def cid_of_name(name: str) -> str | None:
    """Return the CID in the name of a public copy, `<cid>.<file type>`; None for any other name."""
    match = _NAME.fullmatch(name)
    return match[1] if match is not None else None
