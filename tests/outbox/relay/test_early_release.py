"""What a process that has ended had leased waits for no lease; what another one has leased does."""

import pytest

from eventstore.coordination.due_parts import parts_of
from eventstore.sql.database import Database
from outbox.mirror.tables import PAST, mirror_lane
from outbox.relay.early_release import release_of_ended
from outbox.relay.result import Outcome
from tests.outbox.rigs.relay_rig import Rig
from tests.outbox.rigs.row_locks import locked
from tests.outbox.rigs.rows import add_lane, claimed, dids, lane_row
from tests.servers.databases import ON_POSTGRES

pytestmark = pytest.mark.anyio


def has_ended(owner: str) -> bool:
    return owner == "ended"


@pytest.mark.parametrize(("owner", "delivered"), [("ended", True), ("silent", False)])
async def test_a_lane_is_taken_over_at_once_if_its_relay_is_proved_to_have_ended(
    desk: Rig, owner: str, delivered: bool
) -> None:
    desk.upload()
    assert desk.claim(owner) is not None

    outcomes = await desk.another_relay("next", has_ended=has_ended).run_once()

    assert outcomes == ({Outcome.DELIVERED: 1} if delivered else {})


@ON_POSTGRES  # on SQLite a transaction ends with its process
def test_a_lane_that_the_last_transaction_of_its_relay_still_locks_is_left(database: Database) -> None:
    free, busy = (add_lane(database, number) for number in (1, 2))
    assert len(claimed(database, owner="ended")) == 2
    with locked(database, mirror_lane, mirror_lane.c.did == busy):
        assert len(release_of_ended(database, parts_of(database), has_ended)) == 1
    assert lane_row(database, free).lease_until == PAST
    assert lane_row(database, busy).lease_owner == "ended"
    assert dids(claimed(database, owner="next")) == [free]
