"""Sends requests to a PDS with the proof that the session's kind asks for: a bearer token, or DPoP."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import httpx

from identity.resolution.http_responses import error_name, send_whole
from identity.sessions.dpop import NONCE_NEEDED, Nonces, proof_headers
from identity.sessions.session_store import Session
from identity.sessions.tokens import Grant, Tokens

MAX_REPLY_BYTES: Final = 16 * 1024 * 1024
NONCE_TRIES: Final = 3

Body = Callable[[], AsyncIterator[bytes]]
Prove = Callable[[httpx.Request], dict[str, str]]


@dataclass(frozen=True)
class Call:
    """One XRPC request. `body` is called once for each time of sending."""

    method: str
    nsid: str
    timeout: float
    params: Mapping[str, Any] | None = None
    json: Any = None
    body: Body | None = None
    headers: Mapping[str, str] | None = None


class PdsCalls:
    """Holds no tokens, only the nonces of servers."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._nonces = Nonces()

    async def send(self, session: Session, tokens: Tokens, call: Call) -> httpx.Response:
        """Send; again only when the PDS wants another nonce before it looks at anything else."""
        grant = tokens.grant
        if grant is None:
            return await self._send(session, call, lambda _: _bearer(tokens))
        if call.body is not None and not self._nonces.fresh(session.did, session.pds_url):
            # a body that is refused for its nonce is sent for nothing, and can break its connection
            asking = Call("GET", "com.atproto.server.getSession", call.timeout)
            await self._send_bound(session, tokens, grant, asking)
        return await self._send_bound(session, tokens, grant, call)

    async def _send_bound(self, session: Session, tokens: Tokens, grant: Grant, call: Call) -> httpx.Response:
        did, origin = session.did, session.pds_url
        tries = NONCE_TRIES
        while True:
            used, tries = self._nonces.newest(did, origin), tries - 1
            prove = partial(proof_headers, tokens=tokens, grant=grant, nonce=used)
            reply = await self._send(session, call, prove)
            offered = self._nonces.take(did, origin, reply)
            # what this sending used counts: others change the newest nonce meanwhile
            if error_name(reply) != NONCE_NEEDED or offered in {None, used} or not tries:
                return reply

    async def _send(self, session: Session, call: Call, prove: Prove) -> httpx.Response:
        chunks = None if call.body is None else call.body()
        # a refused upload can leave its connection unusable: it gets one of its own
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
                del request.headers[name]  # replies and errors hold on to the request
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()


def _bearer(tokens: Tokens) -> dict[str, str]:
    return {"authorization": f"Bearer {tokens.access.get_secret_value()}"}
