"""Record keys: the TID of the time of creation, with clock id 0 (https://atproto.com/specs/tid)."""

from datetime import UTC, datetime, timedelta
from typing import Final

ALPHABET: Final = "234567abcdefghijklmnopqrstuvwxyz"
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def tid_of(timestamp: datetime) -> str:
    """Return the TID of a time, 13 characters that sort by time. Integers throughout: a float loses microseconds."""
    number = ((timestamp - EPOCH) // timedelta(microseconds=1)) << 10
    return "".join(ALPHABET[(number >> shift) & 31] for shift in range(60, -1, -5))
