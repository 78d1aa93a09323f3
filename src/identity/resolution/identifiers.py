"""The syntax of DIDs, and the placeholder for a handle that could not be verified."""

import re
from typing import Final

INVALID_HANDLE: Final = "handle.invalid"
"""The placeholder for a handle that the DID document does not confirm (atproto.com/specs/handle)."""
DID_PLC: Final = re.compile(r"did:plc:[a-z2-7]{24}")
DID_WEB: Final = re.compile(r"did:web:([a-z0-9.-]{1,253})(%3A[0-9]{1,5})?")


def is_did(text: str) -> bool:
    """Whether this is a DID of a method that ATProto knows (atproto.com/specs/did)."""
    return bool(DID_PLC.fullmatch(text) or DID_WEB.fullmatch(text))
