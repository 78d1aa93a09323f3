"""Divides the accounts among 4,096 buckets, for ever: the bucket of an account is in the ids of its subjects and in its tokens.

Parts of the accounts can then be placed apart, and a reader of an id or token knows where, without a look-up.
"""

from functools import lru_cache
from hashlib import sha256
from typing import Final

BUCKETS: Final = 4096
REMEMBERED: Final = 16_384


@lru_cache(REMEMBERED)
def bucket_of(did: str) -> int:
    """Return the first 12 bits of the SHA-256 of the DID: rows and ids have it, so it can never be computed otherwise."""
    return int.from_bytes(sha256(did.encode()).digest()[:2]) >> 4
