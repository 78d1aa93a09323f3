"""The protections of the relay, each of which can be switched off: somebody has to miss it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from outbox import blob_jobs, blobs, delivery, lanes, read_back, relay, settle
from outbox.delivery import Delivery
from outbox.pds import Pds
from outbox.record import GENERATION
from outbox.tables import mirror_target
from outbox.threads import in_thread
from outbox.work import Work

Switch = Callable[[pytest.MonkeyPatch], None]


def without_swaps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes say nothing of what they replace."""
    real = Pds._send  # noqa: SLF001

    async def send(self: Pds, did: str, nsid: str, timeout: float, **request: Any) -> Any:
        request.get("json", {}).pop("swapRecord", None)
        return await real(self, did, nsid, timeout, **request)

    monkeypatch.setattr(Pds, "_send", send)


def without_intents(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows what was sent but not answered."""
    monkeypatch.setattr(delivery, "our_cids", lambda *_: set())
    monkeypatch.setattr(read_back, "_is_ours", lambda *_: False)


def without_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes late writes down what he found all the same."""
    monkeypatch.setattr(settle, "lock_lane", lambda *_: None)


def without_reading_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The body is read first and its generation after it."""
    real = Delivery.deliver

    def newest(self: Delivery, work: Work) -> int:
        target = mirror_target.c
        with self._database.read() as connection:
            statement = select(target.desired_gen).where(target.track_id == work.track_id)
            return connection.execute(statement).scalar_one()

    async def deliver(self: Delivery, lane: lanes.Lane, work: Work, timeout: float) -> Any:
        gen = await in_thread(newest, self, work)
        desired = {**work.desired, GENERATION: gen} if work.desired is not None else None
        return await real(self, lane, replace(work, gen=gen, desired=desired), timeout)

    monkeypatch.setattr(Delivery, "deliver", deliver)


def without_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """What failed is tried again at once."""
    for module in (blob_jobs, blobs, lanes, relay, settle):
        monkeypatch.setattr(module, "backoff", lambda _failures, **_limits: timedelta())


ALL = (without_swaps, without_intents, without_fence, without_reading_once, without_backoff)
