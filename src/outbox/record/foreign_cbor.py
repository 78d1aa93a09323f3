"""DAG-CBOR that another server chose: few enough values to decode in a few milliseconds, or refused with a ValueError.

Two megabytes of empty lists hold the interpreter for half a second, from a thread too.
"""

from typing import Final

from eventstore.untrusted import MAX_VALUES, TooComplexError

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
