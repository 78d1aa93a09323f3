"""DPoP proofs (RFC 9449) for requests to a PDS, and the nonces that servers require in them."""

import time
from collections import OrderedDict
from typing import Final

import httpx
from atproto_oauth.dpop import DPoPManager

from identity.sessions.key_pairs import key_of
from identity.sessions.tokens import TokenBinding, Tokens

NONCE_NEEDED: Final = "use_dpop_nonce"
MAX_NONCES: Final = 10_000
FRESH_NONCE_SECONDS: Final = 60.0
"""@atproto/pds 0.5.35 accepts a nonce for at most three minutes."""


class Nonces:
    """The newest nonce of each account and server. A nonce is no secret; an evicted one costs one more round trip.

    So does that of another account: it is not shared, since only the server knows what it binds a nonce to.
    """

    def __init__(self) -> None:
        self._nonces: OrderedDict[tuple[str, str], tuple[str, float]] = OrderedDict()

    def newest(self, did: str, origin: str) -> str | None:
        """Return the nonce to use, if one is known."""
        return self._nonces.get((did, origin), (None, 0.0))[0]

    def fresh(self, did: str, origin: str) -> bool:
        """Whether the server will still accept the nonce, so that a large body is not sent in vain."""
        nonce, at = self._nonces.get((did, origin), (None, 0.0))
        return nonce is not None and time.monotonic() - at < FRESH_NONCE_SECONDS

    def take(self, did: str, origin: str, reply: httpx.Response) -> str | None:
        """Store and return the nonce of a reply, whatever its status."""
        nonce: str | None = reply.headers.get("dpop-nonce")
        if nonce is not None:
            self._nonces[did, origin] = nonce, time.monotonic()
            self._nonces.move_to_end((did, origin))
            if len(self._nonces) > MAX_NONCES:
                self._nonces.popitem(last=False)
        return nonce


def proof_headers(
    request: httpx.Request, *, tokens: Tokens, binding: TokenBinding, nonce: str | None
) -> dict[str, str]:
    """Make the headers of one request; each attempt needs new ones."""
    access = tokens.access.get_secret_value()
    proof = DPoPManager.create_proof(
        request.method, str(request.url), key_of(binding.dpop_key), nonce, access
    )
    return {"authorization": f"DPoP {access}", "dpop": proof}
