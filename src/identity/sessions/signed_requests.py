"""Sends requests to a PDS with the proof that the session requires: a bearer token, or DPoP."""

import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx
from atproto_oauth.dpop import DPoPManager

from identity.resolution.http_responses import error_name, send_whole
from identity.sessions.key_pairs import key_of
from identity.sessions.session_store import Session, Tokens

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


def proof_headers(request: httpx.Request, tokens: Tokens, nonce: str | None) -> dict[str, str]:
    """Make the headers of one request; each attempt needs new ones."""
    access = tokens.access.get_secret_value()
    if tokens.binding is None:
        return {"authorization": f"Bearer {access}"}
    key = key_of(tokens.binding.dpop_key)
    proof = DPoPManager.create_proof(request.method, str(request.url), key, nonce, access)
    return {"authorization": f"DPoP {access}", "dpop": proof}


MAX_REPLY_BYTES: Final = 64 * 1024
"""The answers to writes, uploads and getSession have less than 2 KB, those to a batch of writes less than 20 KB."""
MAX_NONCE_ATTEMPTS: Final = 3
STALL_TIMEOUT_SECONDS: Final = 60.0
"""For the PDS to take one chunk of a body, or to accept the connection; the time that the chunk itself takes does not count."""
ANSWER_TIMEOUT_SECONDS: Final = 180.0
"""For the PDS to answer once it has all of a body, which it may have to store first."""

Body = Callable[[], AsyncIterator[bytes]]


@dataclass(frozen=True)
class Call:
    """One XRPC request; `timeout` is in seconds. `body` is called once for each attempt."""

    method: str
    nsid: str
    timeout: float
    params: Mapping[str, Any] | None = None
    json: Any = None
    body: Body | None = None
    headers: Mapping[str, str] | None = None


class PdsCalls:
    """Keeps the nonces of servers, and no tokens."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._nonces = Nonces()

    async def send(self, session: Session, tokens: Tokens, call: Call) -> httpx.Response:
        """Send; again only if the PDS requires another nonce, which it checks before anything else."""
        did, origin = session.did, session.pds_url
        if tokens.binding is not None and call.body is not None and not self._nonces.fresh(did, origin):
            # a body refused for its nonce is sent in vain and can break its connection: get a fresh nonce first
            await self.send(session, tokens, Call("GET", "com.atproto.server.getSession", call.timeout))
        attempts_left = MAX_NONCE_ATTEMPTS
        while True:
            used, attempts_left = self._nonces.newest(did, origin), attempts_left - 1
            reply = await self._send(session, tokens, call, used)
            offered = self._nonces.take(did, origin, reply)
            # compare with the nonce of this attempt: concurrent requests change the newest one
            if error_name(reply) != NONCE_NEEDED or offered in {None, used} or not attempts_left:
                return reply

    async def _send(self, session: Session, tokens: Tokens, call: Call, nonce: str | None) -> httpx.Response:
        chunks = None if call.body is None else call.body()
        # a refused upload can leave its connection unusable, so an upload does not share one
        own = {} if call.body is None else {"connection": "close"}
        of_body = httpx.Timeout(STALL_TIMEOUT_SECONDS, read=ANSWER_TIMEOUT_SECONDS)
        request = self._http.build_request(
            call.method,
            f"{session.pds_url}/xrpc/{call.nsid}",
            params=call.params,
            json=call.json,
            content=chunks,
            headers={**own, **(call.headers or {})},
            timeout=call.timeout if call.body is None else of_body,
        )
        proof = proof_headers(request, tokens, nonce)
        request.headers.update(proof)
        try:
            return await send_whole(self._http, request, limit=MAX_REPLY_BYTES)
        finally:
            for name in proof:
                del request.headers[name]  # replies and errors keep a reference to the request
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()
