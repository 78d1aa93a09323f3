"""The fault proxy: HTTP/1.1 in a thread of the test's process, with rules that the test sets."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self, TypeVar

from devpds.ports import free_port
from tests.faults.exchange import Exchange, Head, Passage
from tests.faults.faults import Fault, pass_on

Matches = Callable[[Passage], bool]
T = TypeVar("T")


@dataclass
class Rule:
    """Which requests meet a fault, and how many of them (None: all)."""

    names: frozenset[str]
    fault: Fault
    left: int | None
    matches: Matches

    def takes(self, passage: Passage) -> bool:
        named = not self.names or not self.names.isdisjoint({passage.nsid, passage.name, passage.method})
        if self.left == 0 or not named or not self.matches(passage):
            return False
        if self.left is not None:
            self.left -= 1
        return True


def applied(passage: Passage) -> bool:
    """Only requests that the PDS has answered, even if no client got the response."""
    return passage.status is not None


def of_repo(did: str) -> Matches:
    """Only requests that name this account's repository."""
    return lambda passage: isinstance(passage.json, dict) and passage.json.get("repo") == did


class FaultProxy:
    """Stands at `port` before a PDS. The first rule that takes a request decides; without one it passes."""

    def __init__(self, upstream: int, port: int | None = None) -> None:
        self.port = port or free_port()
        self.upstream = upstream
        self.seen: list[Passage] = []
        self._rules: list[Rule] = []
        self._exchanges: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)

    # What a test says

    def on(
        self, *names: str, fault: Fault, times: int | None = None, matches: Matches = lambda _: True
    ) -> Rule:
        """Let requests of these names meet a fault: whole NSIDs, their last words or HTTP methods; none: all."""
        rule = Rule(frozenset(names), fault, times, matches)
        self._rules.append(rule)
        return rule

    def heal(self) -> None:
        """Forget the rules, end what hangs, listen again."""
        self._rules.clear()
        self._call(self._drop_all())
        self.accept()

    def refuse(self) -> None:
        self._call(self._close())

    def accept(self) -> None:
        self._call(self._listen())

    def passed(self, *names: str, matches: Matches = lambda _: True) -> list[Passage]:
        wanted = Rule(frozenset(names), pass_on, None, matches)
        return [passage for passage in list(self.seen) if wanted.takes(passage)]

    def await_passed(
        self, *names: str, matches: Matches = lambda _: True, count: int = 1, seconds: float = 20
    ) -> list[Passage]:
        deadline = time.monotonic() + seconds
        while len(found := self.passed(*names, matches=matches)) < count:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{len(found)} of {count} {names} came in {seconds} s")
            time.sleep(0.01)
        return found

    def __enter__(self) -> Self:
        self._thread.start()
        self.accept()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.refuse()
        self._call(self._drop_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # What the thread does

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def _drop_all(self) -> None:
        for exchange in self._exchanges:
            exchange.cancel()
        await asyncio.gather(*self._exchanges, return_exceptions=True)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        exchange = asyncio.create_task(self._serve(reader, writer))
        self._exchanges.add(exchange)
        exchange.add_done_callback(self._exchanges.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = Head.parse(await reader.readuntil(b"\r\n\r\n"))
            exchange = Exchange(head, reader, writer, self.upstream)
            await exchange.read_json()
            fault = next((rule.fault for rule in self._rules if rule.takes(exchange.passage)), pass_on)
            exchange.passage.fault = getattr(fault, "__name__", type(fault).__name__)
            self.seen.append(exchange.passage)
            with contextlib.suppress(asyncio.CancelledError):
                await fault(exchange)
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client or the PDS went away: the other one is to notice
        finally:
            writer.transport.abort()
