"""The faults of a request. A fault is a function of the exchange; the proxy calls it instead of passing the request on."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from tests.faults.exchange import Exchange

Fault = Callable[[Exchange], Awaitable[None]]


def answer(status: int, error: str, message: str = "", **headers: Any) -> Fault:
    """The PDS says this instead; `ratelimit_reset=1` becomes the header RateLimit-Reset."""
    lines = {name.replace("_", "-"): str(value) for name, value in headers.items()}

    async def answered(exchange: Exchange) -> None:
        await exchange.answer(status, {"error": error, "message": message}, lines)

    return answered


def says(status: int, body: Any) -> Fault:
    """The same with any body; a text is what something before the PDS would say."""

    async def said(exchange: Exchange) -> None:
        await exchange.answer(status, body, {})

    return said


async def pass_on(exchange: Exchange) -> None:
    """Nothing happens: a rule with this lets some through before the next rule counts."""
    await exchange.pass_on()


async def cut_before(exchange: Exchange) -> None:
    """The connection breaks before anything reaches the PDS."""
    exchange.reset()


async def cut_after(exchange: Exchange) -> None:
    """The PDS applies it; its answer is lost with the connection."""
    await exchange.apply()
    exchange.reset()


async def hang(exchange: Exchange) -> None:
    """No response comes, and nothing reached the PDS."""
    await exchange.client_gone()


async def hang_after(exchange: Exchange) -> None:
    """The PDS applies it, and no response comes."""
    await exchange.apply()
    await exchange.client_gone()


async def duplicate(exchange: Exchange) -> None:
    """The PDS gets it twice; the client gets the second response."""
    await exchange.apply()
    await exchange.pass_on()


def then_call(call: Callable[[], None], *, applied: bool) -> Fault:
    """Calls a function before the request reaches the PDS or after it was applied; no response comes."""

    async def interrupted(exchange: Exchange) -> None:
        await (exchange.apply() if applied else exchange.read_body())
        call()

    return interrupted


def first_call(call: Callable[[], object]) -> Fault:
    """Something happens before the request reaches the PDS."""

    async def preceded(exchange: Exchange) -> None:
        await asyncio.to_thread(call)
        await exchange.pass_on()

    return preceded


def hold_until(opened: threading.Event, then: Fault = pass_on) -> Fault:
    """The request is on its way until the test lets it through, or lets it fail."""

    async def waiting(exchange: Exchange) -> None:
        await asyncio.to_thread(opened.wait, 30)
        await then(exchange)

    return waiting
