"""The network between a relay and its PDS: what becomes of each request is under the test's control."""

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Any

import httpx

from aggregates.errors import SignInRequiredError
from devpds.server import DevPds
from tests.fake_pds.signed_in_pds import SignedInPds

ANYONE = "anyone"
ANYWHERE = ""
Fault = Callable[[Callable[[], Any]], Any]


async def refused(send: Callable[[], Any]) -> httpx.Response:  # noqa: ARG001
    """Nothing reaches the PDS."""
    raise httpx.ConnectError("refused")


async def answer_lost(send: Callable[[], Any]) -> httpx.Response:
    """The PDS applies it; the answer is lost."""
    await send()
    raise httpx.ReadTimeout("no answer")


async def as_it_is(send: Callable[[], Any]) -> httpx.Response:
    reply: httpx.Response = await send()
    return reply


def meanwhile(act: Callable[[], object], then: Fault = as_it_is) -> Fault:
    """Something happens before the request arrives, or before it meets another fault."""

    async def fault(send: Callable[[], Any]) -> httpx.Response:
        act()
        reply: httpx.Response = await then(send)
        return reply

    return fault


def page(status: int, **reply: Any) -> Fault:
    """Something else answers in place of the PDS."""

    async def fault(send: Callable[[], Any]) -> httpx.Response:  # noqa: ARG001
        return httpx.Response(status, **reply)

    return fault


def answered(status: int, error: str, message: str = "") -> Fault:
    """The PDS says this instead."""
    return page(status, json={"error": error, "message": message})


class LateRequest:
    """A fault: the client gives the request up, and it arrives when the test sends it on."""

    def __init__(self) -> None:
        self.send: Callable[[], Awaitable[httpx.Response]] | None = None

    async def __call__(self, send: Callable[[], Awaitable[httpx.Response]]) -> httpx.Response:
        self.send = send
        raise httpx.ReadTimeout("no answer")

    async def arrives(self) -> int:
        """Send it on; gives the status of the PDS's answer."""
        assert self.send is not None
        return (await self.send()).status_code


@dataclass
class Wire:
    """Requests in the name of the account; the next ones meet the faults that were laid in."""

    pds: DevPds | SignedInPds
    http: httpx.AsyncClient
    did: str
    token: str
    at: str = ""
    """The PDS that the login is for; anywhere as long as that plays no part."""
    faults: list[Fault] = field(default_factory=list)
    sent: list[tuple[str, Any]] = field(default_factory=list)
    forbidden: Collection[str] = ()
    """Collections that the login does not allow."""

    async def request(
        self,
        did: str,
        method: str,
        nsid: str,
        *,
        host,
        params=None,
        json=None,
        body=None,
        headers=None,
        timeout=30.0,
    ) -> httpx.Response:
        assert self.did in {did, ANYONE}
        if self.at not in {ANYWHERE, host}:
            raise SignInRequiredError(did)

        async def send() -> httpx.Response:
            content = {"content": body()} if body is not None else {"json": json}
            return await self.http.request(
                method,
                f"{self.pds.url}/xrpc/{nsid}",
                params=params,
                timeout=timeout,
                headers={**(headers or {}), "authorization": f"Bearer {self.token}", "x-did": did},
                **content,
            )

        self.sent.append((nsid.rsplit(".", 1)[1], json))
        if json is not None and any(
            each.get("collection") in self.forbidden for each in (json, *json.get("writes", ()))
        ):
            return await answered(403, "ScopeMissingError")(send)
        return await self.faults.pop(0)(send) if self.faults else await send()
