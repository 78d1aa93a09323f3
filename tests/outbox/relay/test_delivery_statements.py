"""A delivery takes the same few statements, however many records its lane run delivers."""

from collections.abc import Iterator

import pytest
from sqlalchemy import event

from outbox.relay.lane_run import MAX_RECORDS_PER_RUN
from outbox.relay.result import Outcome
from tests.outbox.rigs.foreign_writes import delivered
from tests.outbox.rigs.relay_rig import Rig
from tests.statements import recorded_statements

pytestmark = pytest.mark.anyio
STATEMENTS = 6
"""Settle: the lane, the attempt, the target; begin the next: its target, its events, the intent."""
TRANSACTIONS = 1


@pytest.fixture
def seen(desk: Rig) -> Iterator[list[str]]:
    """The statements since the test began; the ends of transactions are among them."""
    with recorded_statements(desk.database.engine) as statements:

        def commit(_connection: object) -> None:
            statements.append("COMMIT")

        event.listen(desk.database.engine, "commit", commit)
        yield statements
        event.remove(desk.database.engine, "commit", commit)


async def statements_of(desk: Rig, seen: list[str], records: int) -> tuple[int, int]:
    for number in range(1, records + 1):
        desk.edit(number, title=f"Edit {len(seen)}")
    seen.clear()
    assert await desk.relay_once() == {Outcome.DELIVERED: records}
    commits = seen.count("COMMIT")
    return len(seen) - commits, commits


async def test_each_further_record_of_a_lane_run_takes_few_statements_and_one_transaction(
    desk: Rig, seen: list[str]
) -> None:
    for number in range(1, MAX_RECORDS_PER_RUN):
        desk.upload(number)
    await desk.relay_once()
    few, few_commits = await statements_of(desk, seen, 2)
    many, many_commits = await statements_of(desk, seen, 12)
    assert (many - few, many_commits - few_commits) == (
        10 * STATEMENTS,
        10 * TRANSACTIONS,
    )


async def test_the_last_result_of_a_lane_run_releases_the_lane_in_its_own_transaction(
    desk: Rig, seen: list[str]
) -> None:
    await delivered(desk)
    await statements_of(desk, seen, 1)

    settled = next(number for number, sql in enumerate(seen) if sql.startswith("UPDATE delivery_attempt"))
    end = seen.index("COMMIT", settled)
    assert any(sql.startswith("UPDATE mirror_lane") for sql in seen[settled:end])
    assert not any(sql.startswith("UPDATE") for sql in seen[end:])
