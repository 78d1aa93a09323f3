"""What a process asks the database while nothing is due, on time that a test lets pass."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from sqlalchemy import Engine, update

from eventstore.coordination import due_parts
from eventstore.coordination.due_parts import IDLE_SECONDS
from eventstore.jobs.table import job
from eventstore.streams.buckets import bucket_of, divided
from service.config.settings import Settings
from service.process.jobs import JOBS, MINUTE, periodic_kind, request_periodic
from service.schema.high_water_mark import RECORD_INTERVAL_SECONDS, record_high_water_mark
from service.wiring.bootstrap import Container, build
from tests.servers.citus import CITUS, OF_MANY_SHARDS
from tests.servers.databases import IN_ONE_PART, ON_POSTGRES
from tests.statements import recorded_statements, remote_commands

pytestmark = pytest.mark.anyio
ROUNDS = 10
PARTS = 4
QUESTIONS = 2
"""Of each part in a round: when its lanes are due, and whether jobs are, or are to be requested."""
REMOTE_COMMANDS = 2.0
"""A second, on Citus."""
Recorded = Callable[[Engine], AbstractContextManager[list[str]]]
EVERY_MINUTE = [each.name for each in JOBS if each.interval == MINUTE]


@IN_ONE_PART
@ON_POSTGRES
async def test_each_further_part_costs_an_idle_process_two_statements_a_round(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.relay.relay.EARLY_RELEASE_SECONDS", 0)
    asked = dict[int, int]()
    for number in (1, PARTS):
        monkeypatch.setattr(due_parts, "parts_of", lambda _, number=number: divided(number))
        asked[number] = len(await asked_while_idle(settings, monkeypatch))
    assert asked[1] > ROUNDS * QUESTIONS
    assert asked[PARTS] <= asked[1] + (PARTS - 1) * QUESTIONS * (ROUNDS + 1)


@pytest.mark.databases(CITUS, OF_MANY_SHARDS)
async def test_an_idle_process_asks_workers_twice_a_second_at_most(
    tape: Container, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tape.log.stable_position() > 0
    commands = await asked_while_idle(settings, monkeypatch, remote_commands)
    assert 0 < len(commands) <= REMOTE_COMMANDS * ROUNDS * IDLE_SECONDS, "\n".join(commands)


async def asked_while_idle(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, recorded: Recorded = recorded_statements
) -> list[str]:
    time = 0.0
    monkeypatch.setattr(due_parts, "_now", lambda: time)
    container = build(settings)
    container.worker.add(periodic_kind(container, JOBS))
    request_periodic(container.database, [each.name for each in JOBS])
    with recorded(container.database.engine) as seen:
        await look(container)
        record_high_water_mark(container.log, settings)
        seen.clear()
        for next_mark in range(
            RECORD_INTERVAL_SECONDS, round(ROUNDS * IDLE_SECONDS), RECORD_INTERVAL_SECONDS
        ):
            while time < next_mark:
                time += min(wait_of(container), next_mark - time)
                await look(container)
            record_high_water_mark(container.log, settings)
            if next_mark % 60 == 0:
                make_due(container)
        asked = [*seen]
    await container.close()
    return asked


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
        these = update(job).where(job.c.account.in_(EVERY_MINUTE))
        connection.execute(these.values(due=container.database.now(connection)))
    container.worker.parts.make_due(*map(bucket_of, EVERY_MINUTE))
