"""Nothing that a process does at intervals, or after each commit, costs more with what has grown: each is done at two sizes."""

import asyncio
from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import Final

import pytest

from eventstore.coordination.due_parts import parts_of
from eventstore.jobs import queue
from eventstore.jobs.kinds import PERIODIC, Kind
from replay.reconcile.verify import expected_and_sent
from replay.renewal import SNAPSHOTS
from service.config.settings import Settings
from service.observability.metrics import gauges
from service.observability.subscribers import subscriber_rows
from service.process.jobs import PeriodicJob, periodic_jobs, periodic_kind
from service.schema.high_water_mark import record_high_water_mark
from service.wiring.bootstrap import Container
from tests.eventstore.jobs.rig import claim_anywhere
from tests.service.process.growth import BUSY, add_due_jobs, counted, grow

pytestmark = pytest.mark.anyio
SIZES = (range(10), range(10, 500))
"""The second is added to the first."""
MAX_GROWTH = 1.5
FREE = {"sqlite": 1500, "postgresql": 60}
"""Steps, or rows: fewer than a read of one table takes at its larger size."""
FREE_OF_LOOKS = {"sqlite": 12_000, "postgresql": 1000}
"""A look reads the newest events, up to a number that the smaller size does not have, for tracks that lack something derived."""
GROWS: Final = {
    "gauges": "what waits is counted, up to MAX_COUNTED of each",
    "scan_records": "the host of each repo is asked once in SCAN_MINUTES: to read the rows is the least of it",
    "wake_lanes": "once an hour, and at the end of a rebuild: no ordinary change leaves a lane asleep",
    "prune_journal": "once a day",
    "sweep_media": "once a day",
}
"""Why some may cost more."""
HAS_NO_ACCOUNTS: Final = {PERIODIC, SNAPSHOTS}
"""There are as many jobs of these kinds as their registers have."""
Poll = Callable[[], Awaitable[object]]


async def test_no_poll_and_no_periodic_job_costs_more_with_what_has_grown(
    tape: Container, settings: Settings
) -> None:
    container = tape
    assert not container.log.outdated()  # else a worker does nothing
    container.worker.add(periodic_kind(container, periodic_jobs(settings)))
    database, costs = container.database, list[dict[str, int]]()
    for numbers in SIZES:
        grow(database, kinds_of(container), numbers)
        costs.append({})
        with counted(database) as count:
            for name, poll in polls_of(container).items():
                await poll()  # what is done once for each new row
                before = count()
                await poll()
                costs[-1][name] = count() - before
    assert not grown(costs, database.dialect)


def test_no_claim_costs_more_with_what_waits(container: Container) -> None:
    database, costs = container.database, list[dict[str, int]]()
    kinds = [each for each in kinds_of(container) if each.name not in HAS_NO_ACCOUNTS]
    parts = parts_of(database)
    for numbers in SIZES:
        add_due_jobs(database, kinds, numbers)
        costs.append({})
        with counted(database) as count:
            for kind in kinds:
                for _ in range(2):  # the first claims queue what is new
                    before = count()
                    assert queue.due_kinds(database, [kind], parts)
                    claimed = claim_anywhere(database, kind, "one", parts=parts)
                    assert claimed is not None, kind.name
                    costs[-1][kind.name] = count() - before
                    queue.release(database, claimed)
    assert not grown(costs, database.dialect)


def grown(costs: list[dict[str, int]], dialect: str) -> dict[str, tuple[int, int]]:
    small, large = costs
    free, looks = FREE[dialect], FREE_OF_LOOKS[dialect]
    return {
        name: (small[name], large[name])
        for name in small.keys() - GROWS.keys()
        if large[name] > MAX_GROWTH * small[name] + (looks if name == "jobs" else free)
    }


def kinds_of(container: Container) -> list[Kind]:
    return [*container.worker._kinds.values()]  # noqa: SLF001


def polls_of(container: Container) -> dict[str, Poll]:
    """Name all that a process does by itself; what is periodic, and the kinds of jobs, are in registers."""
    log, database = container.log, container.database

    def subscribers() -> None:
        with database.read() as connection:
            subscriber_rows(connection, log)

    in_threads: dict[str, Callable[[], object]] = {
        "event streams": lambda: container.services.event_poller._states([BUSY]),  # noqa: SLF001
        "gauges": lambda: [*gauges(log)],
        "subscribers": subscribers,
        "high-water mark": lambda: record_high_water_mark(log, container.settings),
        "comparison": lambda: expected_and_sent(database, BUSY),
    }
    return {
        "relay": lambda: look_of_relay(container),
        "jobs": lambda: look_of_worker(container),
        **{name: lambda poll=poll: asyncio.to_thread(poll) for name, poll in in_threads.items()},
        **{each.name: run_of(each, container) for each in periodic_jobs(container.settings)},
    }


def run_of(job: PeriodicJob, container: Container) -> Poll:
    if iscoroutinefunction(job.run):
        return lambda: job.run(container)
    return lambda: asyncio.to_thread(job.run, container)


async def look_of_relay(container: Container) -> None:
    container.relay._parts.make_due()  # noqa: SLF001
    await container.relay._start_due()  # noqa: SLF001


async def look_of_worker(container: Container) -> None:
    container.worker.parts.make_due()
    await container.worker.start_due()
    await container.worker.drain()
