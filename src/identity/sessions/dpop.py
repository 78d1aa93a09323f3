"""Proofs that a token is used by whom it was given to (RFC 9449), and the nonces that servers want in them."""

import time
from collections import OrderedDict
from typing import Final

import httpx
from atproto_oauth.dpop import DPoPManager

from identity.sessions.key_pairs import key_of
from identity.sessions.tokens import Grant, Tokens

NONCE_NEEDED: Final = "use_dpop_nonce"
MOST_NONCES: Final = 10_000
FRESH_SECONDS: Final = 60.0
"""@atproto/pds 0.5.35 accepts a nonce for at most three minutes."""


class Nonces:
    """The newest nonce of each account and server. None is a secret; what is forgotten costs one more round trip."""

    def __init__(self) -> None:
        self._held: OrderedDict[tuple[str, str], tuple[str, float]] = OrderedDict()

    def newest(self, did: str, origin: str) -> str | None:
        """Return the nonce to use, if one is known."""
        return self._held.get((did, origin), (None, 0.0))[0]

    def fresh(self, did: str, origin: str) -> bool:
        """Whether the nonce will do for a request that can't be sent twice cheaply."""
        nonce, at = self._held.get((did, origin), (None, 0.0))
        return nonce is not None and time.monotonic() - at < FRESH_SECONDS

    def take(self, did: str, origin: str, reply: httpx.Response) -> str | None:
        """Keep and give the nonce that a reply brings, whatever else it says."""
        nonce: str | None = reply.headers.get("dpop-nonce")
        if nonce is not None:
            self._held[did, origin] = nonce, time.monotonic()
            self._held.move_to_end((did, origin))
            if len(self._held) > MOST_NONCES:
                self._held.popitem(last=False)
        return nonce


def proof_headers(
    request: httpx.Request, *, tokens: Tokens, grant: Grant, nonce: str | None
) -> dict[str, str]:
    """Make the headers of one request; each sending needs new ones."""
    access = tokens.access.get_secret_value()
    proof = DPoPManager.create_proof(request.method, str(request.url), key_of(grant.dpop_key), nonce, access)
    return {"authorization": f"DPoP {access}", "dpop": proof}
