"""What a process asks the database while nothing is due, on time that a test lets pass."""

import asyncio

import pytest
from sqlalchemy import update

from eventstore.coordination import due_parts
from eventstore.coordination.due_parts import IDLE_SECONDS
from eventstore.jobs.table import job
from eventstore.streams.buckets import divided
from service.config.settings import Settings
from service.process.jobs import JOBS, MINUTE, periodic_kind, request_periodic
from service.wiring.bootstrap import Container, build
from tests.servers.databases import IN_ONE_PART
from tests.statements import recorded_statements

pytestmark = pytest.mark.anyio
ROUNDS = 10
QUESTIONS = 4
"""Of each part in a round: when its lanes are due, and whether uploads, probes and jobs are."""
EVERY_MINUTE = [each.name for each in JOBS if each.interval == MINUTE]


@IN_ONE_PART
async def test_each_further_part_costs_an_idle_process_four_statements_a_round(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.relay.relay.EARLY_RELEASE_SECONDS", 0)
    asked = {number: await asked_while_idle(settings, number, monkeypatch) for number in (1, 16)}
    assert asked[1] > ROUNDS * QUESTIONS
    assert asked[16] <= asked[1] + 15 * QUESTIONS * (ROUNDS + 1)


async def asked_while_idle(settings: Settings, parts: int, monkeypatch: pytest.MonkeyPatch) -> int:
    time = 0.0
    monkeypatch.setattr(due_parts, "parts_of", lambda _: divided(parts))
    monkeypatch.setattr(due_parts, "_now", lambda: time)
    container = build(settings)
    container.worker.add(periodic_kind(container, JOBS))
    request_periodic(container.database, [each.name for each in JOBS])
    await look(container)
    with recorded_statements(container.database.engine) as seen:
        next_minute = 60.0
        while time < ROUNDS * IDLE_SECONDS:
            time += wait_of(container)
            if time >= next_minute:
                next_minute += 60
                make_due(container)
            await look(container)
    await container.close()
    return len(seen)


def wait_of(container: Container) -> float:
    return min(container.relay._parts.seconds(), container.worker.parts.seconds())  # noqa: SLF001


async def look(container: Container) -> None:
    is_due = True
    while is_due:
        await container.relay._start_due()  # noqa: SLF001
        await container.worker.start_due()
        await container.worker.drain()
        await asyncio.sleep(0)  # for wakes of other threads
        is_due = wait_of(container) <= 0


def make_due(container: Container) -> None:
    with container.database.write() as connection:
        these = update(job).where(job.c.subject.in_(EVERY_MINUTE))
        connection.execute(these.values(due=container.database.now(connection)))
