"""The identifiers of an account: what a DID looks like, and what stands for a handle that is not confirmed."""

import re
from typing import Final

INVALID_HANDLE: Final = "handle.invalid"
"""Stands for a handle that its owner's DID document does not confirm (atproto.com/specs/handle)."""
DID_PLC: Final = re.compile(r"did:plc:[a-z2-7]{24}")
DID_WEB: Final = re.compile(r"did:web:([a-z0-9.-]{1,253})(%3A[0-9]{1,5})?")


def is_did(text: str) -> bool:
    """Whether this is a DID of a method that ATProto knows (atproto.com/specs/did)."""
    return bool(DID_PLC.fullmatch(text) or DID_WEB.fullmatch(text))
