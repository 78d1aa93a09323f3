"""What operators do to many at once: what it changes, that it is counted first, and that it stays written down."""

from typing import Any
from unittest.mock import Mock

import pytest
from sqlalchemy import select

from aggregates.accounts.account import Account
from eventstore.change import Envelope
from outbox.mirror.lanes import park_lane
from outbox.mirror.parking import park
from outbox.mirror.tables import mirror_lane
from outbox.operations import operators
from outbox.operations.operators import Action, Operator, Selector, count, perform
from outbox.pds.verdict import Kind
from outbox.relay.result import Outcome
from tests.dsl import BOB
from tests.outbox.rigs.relay_rig import Rig
from tests.outbox.rigs.rows import lane_row
from tests.outbox.rigs.wire import answered, refused
from tests.servers.databases import ON_BOTH, ON_SQLITE

pytestmark = [pytest.mark.anyio, ON_SQLITE]
ADMIN = "did:plc:admin"
OPERATOR = Operator(Envelope(ADMIN, "http", "request"), "because")


async def rejected(desk: Rig, *numbers: int, error: str = "InvalidRecord", did: str | None = None) -> None:
    for number in numbers:
        desk.upload(number, did=did or desk.did)
        desk.wire.faults += [answered(400, error)]
    await desk.relay_once()
    assert {desk.mirror(number).state for number in numbers} == {"rejected"}


def states(desk: Rig, *numbers: int) -> list[str]:
    return [desk.mirror(number).state for number in numbers]


def written(desk: Rig, did: str = ADMIN) -> list[Any]:
    """What the log says was done, in the stream of this account; who did it stands in the envelope."""
    with desk.database.read() as connection:
        stream = desk.log.stream(connection, did, Account.create_id(did))
    deeds = [(each.actor, each.event) for each in stream if isinstance(each.event, Account.OperatorActed)]
    return [(actor, deed.action, deed.filter, deed.affected, deed.reason) for actor, deed in deeds]


async def test_a_redrive_whose_time_is_up_leaves_the_rest_to_the_next(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operators, "RECORDS_PER_UNIT", 2)
    await rejected(desk, 1, 2, 3)
    redriven = [perform(desk.log, Action.REDRIVE, Selector(), OPERATOR, max_seconds=0) for _ in range(3)]
    assert redriven == [2, 1, 0]
    assert await desk.relay_once() == {Outcome.DELIVERED: 3}


async def test_records_that_back_off_are_tried_at_once(desk: Rig) -> None:
    desk.upload()
    desk.wire.faults += [refused]
    await desk.relay_once()
    assert desk.mirror().reason == "backoff"
    perform(desk.log, Action.REDRIVE, Selector(did=desk.did), OPERATOR)
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}


async def test_what_is_tried_again_goes_behind_live_edits(desk: Rig) -> None:
    await rejected(desk, 1)
    perform(desk.log, Action.REDRIVE, Selector(), OPERATOR)
    desk.upload(2)
    desk.wire.sent.clear()
    await desk.relay_once()
    keys = [body["rkey"] for _, body in desk.wire.sent]
    assert keys == [desk.mirror(number).record_uri.rsplit("/", 1)[1] for number in (2, 1)]


async def test_a_paused_account_is_sent_nothing_until_it_is_resumed(desk: Rig) -> None:
    which = Selector(did=desk.did)
    assert count(desk.database, Action.PAUSE, which) == 1
    assert perform(desk.log, Action.PAUSE, which, OPERATOR) == 1
    desk.upload()
    assert await desk.relay_once() == {}
    assert desk.mirror().reason == "paused"
    assert (count(desk.database, Action.PAUSE, which), count(desk.database, Action.RESUME, which)) == (0, 1)

    assert perform(desk.log, Action.RESUME, which, OPERATOR) == 1

    assert await desk.relay_once() == {Outcome.DELIVERED: 1}
    assert written(desk) == []
    assert [row[1:4] for row in written(desk, desk.did)] == [
        ("pause", {"did": desk.did}, 1),
        ("resume", {"did": desk.did}, 1),
    ]


@pytest.mark.parametrize("named", ["account", "origin", "host"])
async def test_what_waits_after_a_failure_is_sent_at_once_when_an_operator_resumes_it(
    desk: Rig, named: str
) -> None:
    which = {
        "account": Selector(did=desk.did),
        "origin": Selector(host=desk.pds.url),
        "host": Selector(host=desk.pds.url.partition("://")[2]),
    }[named]
    desk.upload()
    desk.wire.faults += [refused]
    await desk.relay_once()
    assert await desk.relay_once() == {}

    perform(desk.log, Action.RESUME, which, OPERATOR)

    assert await desk.relay_once() == {Outcome.DELIVERED: 1}


@ON_BOTH
async def test_accounts_that_may_be_back_are_probed(desk: Rig) -> None:
    desk.sign_in(BOB)
    desk.upload(1)
    with desk.database.write() as connection:
        park(
            connection, desk.did, Kind.INACTIVE, desk.database.now(connection), error="AccountDeactivated: x"
        )
        park_lane(connection, BOB)  # for this one only a sign-in helps
    assert count(desk.database, Action.PROBE, Selector(host=desk.pds.url)) == 1
    assert perform(desk.log, Action.PROBE, Selector(host=desk.pds.url), OPERATOR) == 1
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}
    assert lane_row(desk.database, BOB).state == "auth_required"


@ON_BOTH
async def test_each_part_of_a_large_redrive_is_written_down_with_it(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("outbox.operations.operators.RECORDS_PER_UNIT", 2)
    desk.sign_in(BOB)
    await rejected(desk, 1, 2)
    await rejected(desk, 3, did=BOB)
    assert perform(desk.log, Action.REDRIVE, Selector(host=desk.pds.url), OPERATOR) == 3
    assert [row[2:4] for row in written(desk)] == [({"host": desk.pds.url}, 2), ({"host": desk.pds.url}, 1)]
    assert await desk.relay_once() == {Outcome.DELIVERED: 3}


async def test_nothing_is_done_that_the_log_does_not_say(desk: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    await rejected(desk, 1)

    monkeypatch.setattr(Account, "record_operator_action", Mock(side_effect=ZeroDivisionError))
    for action in (Action.REDRIVE, Action.PAUSE):
        with pytest.raises(ZeroDivisionError):
            perform(desk.log, action, Selector(did=desk.did), OPERATOR)
    assert states(desk, 1) == ["rejected"]
    assert not lane_row(desk.database, desk.did).paused


async def test_what_an_operator_did_gives_the_relay_nothing_to_do(desk: Rig) -> None:
    perform(desk.log, Action.REDRIVE, Selector(), OPERATOR)
    assert ADMIN not in desk.scalars(select(mirror_lane.c.did))
