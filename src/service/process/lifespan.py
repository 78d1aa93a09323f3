"""What a process does beside answering: relay, public copies and periodic jobs, from its start to its orderly end."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, nullcontext
from typing import Final

from eventstore.commit_signals import Announcer, Listener
from outbox.firehose.follower import Follower
from replay.adoption.worker import AdoptionWorker
from service.process.metrics_server import monitored
from service.process.scheduler import scheduled
from service.schema.high_water_mark import keep_newest_if_possible
from service.wiring.bootstrap import Application
from storage.public.publisher import Publisher

logger: Final = logging.getLogger("mastertape.service")

DRAIN_SECONDS: Final = 45.0
"""Longer than a request to a PDS may take; a flight that is given up is found by its intent and its lease."""
PUBLISHING_SECONDS: Final = 10.0
"""A public copy that is cut off is looked at again by the next process."""
FOLLOWING_SECONDS: Final = 5.0
"""Of a stream that is left without a word others hear the rest when its lease is over."""
ANNOUNCING_SECONDS: Final = 2.0
"""Relays that were not told look by themselves."""


@asynccontextmanager
async def working(application: Application, *, relay: bool) -> AsyncGenerator["asyncio.Task[None]"]:
    """Work for as long as the block, then let the flights land, give the lanes back and disconnect.

    Yields the relay's task, which ends before the block only if it has failed.
    """
    stop = asyncio.Event()
    flights = asyncio.create_task(application.relay.run(stop) if relay else _idle(stop))
    flights.add_done_callback(lambda done: _ended(done, expected=stop.is_set()))
    try:
        async with (
            _published(application.publisher),
            _announced(application.announcer),
            _adopting(application.adoptions) if relay else nullcontext(),
            _listening(application.listener, _woken(application)) if relay else nullcontext(),
            _following(application.follower) if relay else nullcontext(),
        ):
            with scheduled(application), monitored(application, lambda: not flights.done()):
                yield flights
    finally:
        stop.set()
        await _land(flights)
        await asyncio.to_thread(keep_newest_if_possible, application.log, application.settings)
        await application.close()


@asynccontextmanager
async def _adopting(adoptions: AdoptionWorker) -> AsyncGenerator[None]:
    """Take over the records that people asked for; at the end others go on with what is under way."""
    working = asyncio.create_task(adoptions.run())
    try:
        yield
    finally:
        working.cancel()
        await asyncio.wait({working})


def _woken(application: Application) -> Callable[[], None]:
    def wake() -> None:
        application.relay.wake()
        application.adoptions.wake()

    return wake


@asynccontextmanager
async def _published(publisher: Publisher | None) -> AsyncGenerator[None]:
    if publisher is None:
        yield
        return
    publisher.start()
    try:
        yield
    finally:
        await asyncio.to_thread(publisher.stop, PUBLISHING_SECONDS)


@asynccontextmanager
async def _announced(announcer: Announcer) -> AsyncGenerator[None]:
    announcer.start()
    try:
        yield
    finally:
        await asyncio.to_thread(announcer.stop, ANNOUNCING_SECONDS)


@asynccontextmanager
async def _listening(listener: Listener, wake: Callable[[], None]) -> AsyncGenerator[None]:
    hearing = asyncio.create_task(listener.run(wake))
    try:
        yield
    finally:
        hearing.cancel()
        await asyncio.wait({hearing})


@asynccontextmanager
async def _following(follower: Follower | None) -> AsyncGenerator[None]:
    if follower is None:
        yield
        return
    stop = asyncio.Event()
    following = asyncio.create_task(follower.run(stop))
    try:
        yield
    finally:
        stop.set()
        await asyncio.wait({following}, timeout=FOLLOWING_SECONDS)
        following.cancel()


async def _idle(stop: asyncio.Event) -> None:
    await stop.wait()


def _ended(flights: "asyncio.Task[None]", *, expected: bool) -> None:
    if not expected and not flights.cancelled():
        logger.critical("relay_failed", exc_info=flights.exception())


async def _land(flights: "asyncio.Task[None]") -> None:
    done, _ = await asyncio.wait({flights}, timeout=DRAIN_SECONDS)
    if not done:
        logger.warning("relay_given_up", extra={"after_seconds": DRAIN_SECONDS})
        flights.cancel()
