"""The network between clients and fake hosts, on virtual time: what arrives, when, how often, and which responses return."""

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import httpx

from outbox.pds.client import APPLY_WRITES, DELETE_RECORD, PUT_RECORD
from tests.simulation.network_faults import NO_FAULT, FaultyResponse, NetworkFault, Plan
from tests.simulation.virtual_time import Life, Process, allowed, current_process

WRITES = frozenset({PUT_RECORD, DELETE_RECORD, APPLY_WRITES})
FLOOD = 60
"""After so many requests in a minute the network fails, so that an endless loop ends soon."""
REFRESHES = frozenset({"com.atproto.server.refreshSession"})


class Host(Protocol):
    origin: str

    def answer(self, request: httpx.Request, content: bytes) -> httpx.Response:
        """Answer, and do what is asked."""

    def requester(self, request: httpx.Request) -> tuple[str, str] | None:
        """The DID and client that it comes from."""


@dataclass(eq=False)
class Passage:
    process: Process | None
    host: str
    call: str
    did: str | None
    fault: str
    sent_at: float
    ended_at: float | None = None
    outcome: str | None = None
    """The status that the client received, the name of its error, or "gave up"."""
    retry_after: float | None = None
    applied: int = 0
    token: str | None = None
    response_headers: Mapping[str, str] = field(default_factory=dict)
    """The headers of the response that the client received."""

    @property
    def over_at(self) -> float:
        """When the client stopped waiting for it."""
        died_at = self.process.died_at if self.process is not None else math.inf
        return min(died_at, self.ended_at if self.ended_at is not None else math.inf)

    def __str__(self) -> str:
        who = self.process.name if self.process is not None else "somebody"
        what = f"{self.call}{f' of {self.did}' if self.did else ''} at {self.host}"
        return f"{self.sent_at:.3f}-{self.over_at:.3f} {who}: {what}: {self.fault}, {self.outcome}"


class Network(httpx.AsyncBaseTransport):
    """All hosts that there are. `plan` decides on each request; `down` hosts refuse, `silent` ones say nothing."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *hosts: Host, plan: Plan = lambda: NO_FAULT) -> None:
        self._loop = loop
        self.hosts = {host.origin: host for host in hosts}
        self.plan = plan
        self.down: set[str] = set()
        self.silent: set[str] = set()
        self.oldest_create = math.inf
        """A create whose client has stopped waiting is lost once it is this many seconds old."""
        self.passages: list[Passage] = []
        self._late: dict[asyncio.TimerHandle, Callable[[], None]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        process, content = current_process(), await request.aread()
        # as it was sent: clients take tokens out of their requests once they are done with them
        request = httpx.Request(
            request.method,
            request.url,
            headers=request.headers,
            content=content,
            extensions=request.extensions,
        )
        origin = str(request.url.copy_with(raw_path=b"/")).rstrip("/")
        fault, reply = self._fault(origin), self._loop.create_future()
        client = _Client(process, request, reply, self._passage(process, request, origin, fault))
        reply.add_done_callback(client.end)
        allowed(process, lambda: self._send(client, content, origin, fault))
        limit = request.extensions.get("timeout", {}).get("read")
        try:
            return await asyncio.wait_for(reply, limit)
        except TimeoutError:
            raise httpx.ReadTimeout("nothing was reply", request=request) from None

    def release(self) -> None:
        late, self._late = self._late, {}
        for timer, arrive in late.items():
            timer.cancel()
            arrive()

    @property
    def under_way(self) -> int:
        return len(self._late)

    @property
    def is_in_use(self) -> bool:
        """Whether a process waits for a response, or will once it is no longer frozen."""
        return any(
            each.ended_at is None and each.process is not None and each.process.life is not Life.DEAD
            for each in self.passages
        )

    @property
    def _is_flooded(self) -> bool:
        return len(self.passages) > FLOOD and self._loop.time() - self.passages[-FLOOD].sent_at < 60

    def _fault(self, origin: str) -> NetworkFault:
        if origin in self.silent or self._is_flooded:
            return NetworkFault("silent", out=None, back=None)
        if origin in self.down or origin not in self.hosts:
            return NetworkFault("down", refused=True)
        return self.plan()

    def _send(self, client: "_Client", content: bytes, origin: str, fault: NetworkFault) -> None:
        request = client.request
        if fault.refused:
            self._after(0.0, client.fail(httpx.ConnectError("refused", request=request)))
            return
        if fault.cut is not None:
            self._after(fault.cut, client.fail(httpx.ReadError("connection reset", request=request)))
        if fault.out is None and fault.response is not None:
            self._after(fault.back or 0.0, client.receive(_as_reply(fault.response)))
        if fault.out is not None:
            self._after(fault.out, self._arrival(client, content, origin, fault), late=True)
            if fault.again is not None:
                self._after(fault.out + fault.again, self._arrival(client, content, origin, None), late=True)

    def _arrival(
        self, client: "_Client", content: bytes, origin: str, fault: NetworkFault | None
    ) -> Callable[[], None]:
        def arrive() -> None:
            down = origin in self.down  # also when it went down while this was on its way
            if down or (client.is_create and client.gave_up_after(self.oldest_create)):
                return
            reply = self.hosts[origin].answer(client.request, content)
            client.passage.applied += 1
            if fault is not None and fault.back is not None:
                self._after(
                    fault.back,
                    client.receive(_as_reply(fault.response) if fault.response is not None else reply),
                )

        return arrive

    def _passage(
        self, process: Process | None, request: httpx.Request, origin: str, fault: NetworkFault
    ) -> Passage:
        host = self.hosts.get(origin)
        requester = host.requester(request) if host is not None else None
        call, now = request.url.path.rsplit("/", 1)[1], self._loop.time()
        did = requester[0] if requester else request.url.params.get("repo")
        token = request.headers.get("authorization")
        passage = Passage(process, origin, call, did, fault.name, now, token=token)
        self.passages.append(passage)
        return passage

    def _after(self, seconds: float, step: Callable[[], None], *, late: bool = False) -> None:
        def take() -> None:
            self._late.pop(timer, None)
            step()

        timer = self._loop.call_later(seconds, take)
        if late:
            self._late[timer] = step


@dataclass(eq=False)
class _Client:
    """The process that waits for the response, as long as it runs."""

    process: Process | None
    request: httpx.Request
    reply: "asyncio.Future[httpx.Response]"
    passage: Passage

    @property
    def is_create(self) -> bool:
        """Whether it must find nothing: the one write that a delete makes possible again."""
        if self.passage.call == APPLY_WRITES:
            return True
        return self.passage.call == PUT_RECORD and b'"swapRecord":null' in self.request.content

    def gave_up_after(self, seconds: float) -> bool:
        """Whether a request of that age is no longer waited for."""
        now = self.reply.get_loop().time()
        return self.passage.over_at < now and now - self.passage.sent_at > seconds

    def receive(self, reply: httpx.Response) -> Callable[[], None]:
        def arrive() -> None:
            if not self.reply.done():
                self.passage.outcome = str(reply.status_code)
                self.passage.response_headers = reply.headers
                self.passage.retry_after = float(reply.headers.get("retry-after", 0)) or None
                self.reply.set_result(reply)

        return lambda: allowed(self.process, arrive)

    def fail(self, error: httpx.HTTPError) -> Callable[[], None]:
        def arrive() -> None:
            if not self.reply.done():
                self.passage.outcome = type(error).__name__
                self.reply.set_exception(error)

        return lambda: allowed(self.process, arrive)

    def end(self, reply: "asyncio.Future[httpx.Response]") -> None:
        self.passage.ended_at = reply.get_loop().time()
        self.passage.outcome = self.passage.outcome or "gave up"


def _as_reply(saying: FaultyResponse) -> httpx.Response:
    if isinstance(saying.body, str):
        return httpx.Response(saying.status, text=saying.body, headers=dict(saying.headers))
    return httpx.Response(saying.status, json=saying.body, headers=dict(saying.headers))
