"""The faults of a request between a client and a host."""

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class NetworkFault:
    """What happens to one request; by default, nothing bad. Times are in seconds.

    `out` until it arrives, None if it never does; `back` until the response is received, None if it never is;
    `cut` when the client learns that the connection broke, instead of waiting for its own time limit.
    """

    name: str = "delivered"
    out: float | None = 0.01
    back: float | None = 0.01
    cut: float | None = None
    refused: bool = False
    again: float | None = None
    """A second copy arrives this many seconds later; its response is lost."""
    response: "FaultyResponse | None" = None
    """What the client receives in place of the host's response."""


@dataclass(frozen=True)
class FaultyResponse:
    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


Plan = Callable[[], NetworkFault]
NO_FAULT = NetworkFault()


def refused() -> NetworkFault:
    return NetworkFault("refused", refused=True)


def cut_before() -> NetworkFault:
    """The connection breaks on the way there."""
    return NetworkFault("cut before", out=None, cut=0.02)


def cut_after() -> NetworkFault:
    """The connection breaks on the way back: it was applied."""
    return NetworkFault("cut after", back=None, cut=0.05)


def hang() -> NetworkFault:
    return NetworkFault("hang", out=None, back=None)


def hang_after() -> NetworkFault:
    """It is applied and no response comes."""
    return NetworkFault("hang after", back=None)


def slow(out: float, back: float) -> NetworkFault:
    return NetworkFault("slow", out=out, back=back)


def twice(again: float) -> NetworkFault:
    return NetworkFault("twice", again=again)


def held(seconds: float) -> NetworkFault:
    """The client is cut off at once; the request arrives many seconds later all the same."""
    return NetworkFault("held", out=seconds, back=None, cut=0.02)


def answered(status: int, error: str, *, applied: bool = False, **headers: Any) -> NetworkFault:
    """Something in front of the host says this, before or after it was applied; `retry_after=1` becomes a header."""
    lines = {name.replace("_", "-"): str(value) for name, value in headers.items()}
    response = FaultyResponse(status, {"error": error, "message": "says the network"}, lines)
    return NetworkFault(
        f"{status}{' after' if applied else ''}", out=0.01 if applied else None, response=response
    )


def garbled(status: int = 502, *, applied: bool = False) -> NetworkFault:
    """An HTML page from a proxy in front of the host."""
    response = FaultyResponse(status, "<html>Bad Gateway</html>", {"content-type": "text/html"})
    return NetworkFault(f"html {status}", out=0.01 if applied else None, response=response)


FAULTS: Mapping[str, Callable[[random.Random], NetworkFault]] = {
    "refused": lambda _: refused(),
    "cut before": lambda _: cut_before(),
    "cut after": lambda _: cut_after(),
    "hang": lambda _: hang(),
    "hang after": lambda _: hang_after(),
    "slow": lambda dice: slow(dice.uniform(0, 40), dice.uniform(0, 40)),
    "twice": lambda dice: twice(dice.expovariate(1 / 20)),
    "held": lambda dice: held(dice.expovariate(1 / 60)),
    "500": lambda dice: answered(500, "InternalServerError", applied=dice.random() < 0.5),
    "503": lambda dice: answered(503, "ServiceUnavailable", applied=dice.random() < 0.2),
    "429": lambda dice: answered(429, "RateLimitExceeded", retry_after=dice.randint(1, 60)),
    "html": lambda dice: garbled(dice.choice([200, 403, 502]), applied=dice.random() < 0.5),
}

LATE = ("held", "slow", "twice")
"""Those after which a request may arrive late."""


class ScriptedFaults:
    """These faults, one after the other, and then none."""

    def __init__(self, faults: Iterable[NetworkFault]) -> None:
        self._faults = iter(list(faults))

    def __call__(self) -> NetworkFault:
        return next(self._faults, NO_FAULT)


class RandomFaults:
    """Every request meets a fault with this chance; the seed decides which. `kinds` leaves some out."""

    def __init__(self, dice: random.Random, chance: float, kinds: Iterable[str] = tuple(FAULTS)) -> None:
        self._dice, self.chance, self._kinds = dice, chance, sorted(kinds)

    def __call__(self) -> NetworkFault:
        if self._dice.random() >= self.chance:
            return NetworkFault(out=self._dice.uniform(0.001, 0.05), back=self._dice.uniform(0.001, 0.05))
        return FAULTS[self._dice.choice(self._kinds)](self._dice)
