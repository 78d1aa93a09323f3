"""What operators do to many at once: what it changes, that it is counted first, and that it stays written down."""

from typing import Any

import pytest
from sqlalchemy import select, update

from outbox.delivery import Outcome
from outbox.lanes import park_lane
from outbox.operators import (
    Action,
    Operator,
    TooWideError,
    UnknownTargetError,
    Which,
    count,
    operator_action,
    perform,
)
from outbox.tables import mirror_lane
from tests.dsl import BOB
from tests.outbox.rig import Rig, answered, refused
from tests.outbox.rows import lane_row

pytestmark = pytest.mark.anyio
OPERATOR = Operator("did:plc:admin", "because")


async def rejected(desk: Rig, *numbers: int, error: str = "InvalidRecord", did: str | None = None) -> None:
    """Records that the PDS refused."""
    for number in numbers:
        desk.upload(number, did=did or desk.did)
        desk.wire.faults += [answered(400, error)]
    await desk.relay_once()
    assert {desk.mirror(number).state for number in numbers} == {"rejected"}


def states(desk: Rig, *numbers: int) -> list[str]:
    return [desk.mirror(number).state for number in numbers]


def written(desk: Rig) -> list[Any]:
    with desk.database.read() as connection:
        rows = connection.execute(select(operator_action).order_by(operator_action.c.id))
        return [(row.actor, row.action, row.filter, row.affected, row.reason) for row in rows]


async def test_rejected_records_are_tried_again(desk: Rig) -> None:
    await rejected(desk, 1, 2)
    assert count(desk.database, Action.REDRIVE, Which()) == 2
    assert states(desk, 1, 2) == ["rejected", "rejected"]
    assert written(desk) == []

    assert perform(desk.database, Action.REDRIVE, Which(), OPERATOR) == 2

    assert await desk.relay_once() == {Outcome.DELIVERED: 2}
    assert written(desk) == [("did:plc:admin", "redrive", {}, 2, "because")]
    assert perform(desk.database, Action.REDRIVE, Which(), OPERATOR) == 0


async def test_records_that_back_off_are_tried_at_once(desk: Rig) -> None:
    desk.upload()
    desk.wire.faults += [refused]
    await desk.relay_once()
    assert desk.mirror().reason == "backoff"
    perform(desk.database, Action.REDRIVE, Which(did=desk.did), OPERATOR)
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}


async def test_only_records_of_that_error_of_that_account_are_tried_again(desk: Rig) -> None:
    desk.sign_in(BOB)
    await rejected(desk, 1, error="InvalidRecord")
    await rejected(desk, 2, error="Invalid")
    await rejected(desk, 3, error="Invalid", did=BOB)
    which = Which(did=desk.did, error="Invalid")
    assert count(desk.database, Action.REDRIVE, which) == 1
    assert perform(desk.database, Action.REDRIVE, which, OPERATOR) == 1
    await desk.relay_once()
    assert states(desk, 1, 2, 3) == ["rejected", "delivered", "rejected"]


async def test_what_is_tried_again_goes_behind_live_edits(desk: Rig) -> None:
    await rejected(desk, 1)
    perform(desk.database, Action.REDRIVE, Which(), OPERATOR)
    desk.upload(2)
    desk.wire.sent.clear()
    await desk.relay_once()
    keys = [body["rkey"] for _, body in desk.wire.sent]
    assert keys == [desk.mirror(number).record_uri.rsplit("/", 1)[1] for number in (2, 1)]


async def test_a_paused_account_is_sent_nothing_until_it_is_resumed(desk: Rig) -> None:
    which = Which(did=desk.did)
    assert count(desk.database, Action.PAUSE, which) == 1
    assert perform(desk.database, Action.PAUSE, which, OPERATOR) == 1
    desk.upload()
    assert await desk.relay_once() == {}
    assert desk.mirror().reason == "paused"
    assert (count(desk.database, Action.PAUSE, which), count(desk.database, Action.RESUME, which)) == (0, 1)

    assert perform(desk.database, Action.RESUME, which, OPERATOR) == 1

    assert await desk.relay_once() == {Outcome.DELIVERED: 1}
    assert [row[1:4] for row in written(desk)] == [
        ("pause", {"did": desk.did}, 1),
        ("resume", {"did": desk.did}, 1),
    ]


async def test_a_paused_host_holds_all_of_its_accounts(desk: Rig) -> None:
    desk.sign_in(BOB)
    assert perform(desk.database, Action.PAUSE, Which(host=desk.pds.url), OPERATOR) == 2
    desk.upload(1)
    desk.upload(2, did=BOB)
    assert await desk.relay_once() == {}
    assert perform(desk.database, Action.RESUME, Which(host=desk.pds.url), OPERATOR) == 2
    assert await desk.relay_once() == {Outcome.DELIVERED: 2}


async def test_accounts_that_may_be_back_are_probed(desk: Rig) -> None:
    desk.sign_in(BOB)
    desk.upload(1)
    with desk.database.write() as connection:
        park_lane(connection, desk.did, "account_inactive")
        park_lane(connection, BOB)  # for this one only a sign-in helps
    assert count(desk.database, Action.PROBE, Which(host=desk.pds.url)) == 1
    assert perform(desk.database, Action.PROBE, Which(host=desk.pds.url), OPERATOR) == 1
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}
    assert lane_row(desk.database, BOB).state == "auth_required"


@pytest.mark.parametrize("which", [Which(did="did:plc:nobody"), Which(host="https://nowhere.example.com")])
async def test_what_is_not_known_is_refused_and_not_written_down(desk: Rig, which: Which) -> None:
    for action in Action:
        with pytest.raises(UnknownTargetError):
            count(desk.database, action, which)
        with pytest.raises(UnknownTargetError):
            perform(desk.database, action, which, OPERATOR)
    assert written(desk) == []


async def test_nobody_pauses_everybody_by_mistake(desk: Rig) -> None:
    with pytest.raises(TooWideError):
        perform(desk.database, Action.PAUSE, Which(), OPERATOR)
    with desk.database.write() as connection:
        assert (
            connection.execute(update(mirror_lane).where(mirror_lane.c.paused).values(paused=False)).rowcount
            == 0
        )
    assert written(desk) == []
