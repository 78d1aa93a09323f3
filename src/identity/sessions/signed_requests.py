"""Sends requests to a PDS with the proof that the session requires: a bearer token, or DPoP."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import httpx

from identity.resolution.http_responses import error_name, send_whole
from identity.sessions.dpop import NONCE_NEEDED, Nonces, proof_headers
from identity.sessions.session_store import Session
from identity.sessions.tokens import TokenBinding, Tokens

MAX_REPLY_BYTES: Final = 64 * 1024
"""The answers to writes, uploads and getSession have less than 2 KB, those to a batch of writes less than 20 KB."""
MAX_NONCE_ATTEMPTS: Final = 3

Body = Callable[[], AsyncIterator[bytes]]
Prove = Callable[[httpx.Request], dict[str, str]]


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
        binding = tokens.binding
        if binding is None:
            return await self._send(session, call, lambda _: _bearer(tokens))
        if call.body is not None and not self._nonces.fresh(session.did, session.pds_url):
            # a body refused for its nonce is sent in vain and can break its connection: get a fresh nonce first
            get_nonce = Call("GET", "com.atproto.server.getSession", call.timeout)
            await self._send_bound(session, tokens, binding, get_nonce)
        return await self._send_bound(session, tokens, binding, call)

    async def _send_bound(
        self, session: Session, tokens: Tokens, binding: TokenBinding, call: Call
    ) -> httpx.Response:
        did, origin = session.did, session.pds_url
        attempts_left = MAX_NONCE_ATTEMPTS
        while True:
            used, attempts_left = self._nonces.newest(did, origin), attempts_left - 1
            prove = partial(proof_headers, tokens=tokens, binding=binding, nonce=used)
            reply = await self._send(session, call, prove)
            offered = self._nonces.take(did, origin, reply)
            # compare with the nonce of this attempt: concurrent requests change the newest one
            if error_name(reply) != NONCE_NEEDED or offered in {None, used} or not attempts_left:
                return reply

    async def _send(self, session: Session, call: Call, prove: Prove) -> httpx.Response:
        chunks = None if call.body is None else call.body()
        # a refused upload can leave its connection unusable, so an upload does not share one
        own = {} if call.body is None else {"connection": "close"}
        request = self._http.build_request(
            call.method,
            f"{session.pds_url}/xrpc/{call.nsid}",
            params=call.params,
            json=call.json,
            content=chunks,
            headers={**own, **(call.headers or {})},
            timeout=call.timeout,
        )
        proof = prove(request)
        request.headers.update(proof)
        try:
            return await send_whole(self._http, request, limit=MAX_REPLY_BYTES)
        finally:
            for name in proof:
                del request.headers[name]  # replies and errors keep a reference to the request
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()


def _bearer(tokens: Tokens) -> dict[str, str]:
    return {"authorization": f"Bearer {tokens.access.get_secret_value()}"}
