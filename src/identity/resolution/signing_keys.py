"""The key that an account's repo is signed with, from its DID document."""

from typing import Any, Final

from atproto_core.exceptions import AtProtocolError
from atproto_crypto.did import get_did_key

from identity.errors import IdentityUnreachableError
from identity.resolution.resolver import Resolver

REPO_KEY: Final = "#atproto"


async def signing_key(resolver: Resolver, did: str) -> str:
    """Return the key as a did:key; raises IdentityUnreachableError if the document has none that we support."""
    document = await resolver.did_document(did)
    methods = document.get("verificationMethod")
    for method in methods if isinstance(methods, list) else []:
        if (key := _key_of(method, did)) is not None:
            return key
    raise IdentityUnreachableError(f"{did}: its DID document names no supported signing key")


def _key_of(method: Any, did: str) -> str | None:
    match method:
        case {"id": str(name), "type": str(kind), "publicKeyMultibase": str(text)}:
            if name not in {REPO_KEY, did + REPO_KEY}:
                return None
            try:
                key: str | None = get_did_key(kind, text)
            except (AtProtocolError, ValueError):
                return None
            return key
    return None
