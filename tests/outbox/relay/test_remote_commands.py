"""On Citus a delivery takes few commands, all at one worker, and a process without work asks little."""

import pytest

from tests.outbox.rigs.relay_rig import memory_rig_on
from tests.servers.citus import ON_CITUS
from tests.statements import remote_commands

pytestmark = [pytest.mark.anyio, ON_CITUS]
OF_A_DELIVERY = 12
"""To read the task and record the intent, and to settle: BEGIN and COMMIT included; the claim aside."""


async def test_a_delivery_takes_a_few_commands_at_one_worker_and_no_two_phase_commit(
    migrated_citus: str,
) -> None:
    async with memory_rig_on(migrated_citus) as desk:
        desk.upload()
        await desk.relay_once()
        with remote_commands(desk.database.engine) as seen:
            for number in range(8):  # plans come to rest
                desk.edit(title=f"Take {number}")
                seen.clear()
                await desk.relay_once()
    begun = next(at for at, command in enumerate(seen) if "WITH held" in command) - 1
    settled = max(at for at, command in enumerate(seen) if command.endswith("COMMIT"))
    commands = seen[begun : settled + 1]
    assert len(commands) <= OF_A_DELIVERY, "\n".join(commands)
    assert len({command.partition(":")[0] for command in commands}) == 1
    assert not any("PREPARE" in command for command in commands)
