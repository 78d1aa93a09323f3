"""Deliveries of one record under faults of the PDS and writes of other clients."""

import asyncio
import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from sqlalchemy import event, update

from eventstore.coordination import restore_detection
from outbox.mirror.tables import NEVER, mirror_target
from outbox.record.dag_cbor import record_cid
from outbox.relay import delivery_task, relay
from outbox.relay.delivery_task import BATCH_FROM
from outbox.relay.result import Outcome
from tests.dsl import COLLECTION
from tests.outbox.rigs.foreign_writes import delivered, foreign_put
from tests.outbox.rigs.relay_rig import MORE_THAN_ONE, Rig
from tests.outbox.rigs.stepwise_delivery import wanted
from tests.outbox.rigs.wire import answer_lost, answered, meanwhile, page
from tests.servers.databases import ON_BOTH, ON_SQLITE
from tests.statements import recorded_statements

pytestmark = [pytest.mark.anyio, ON_SQLITE]
ANOTHER_CID = record_cid({"title": "another"})


@pytest.mark.parametrize(
    "fault",
    [
        page(200, html="<h1>Welcome to our network</h1>"),
        page(500, json={"error": "\0\ud800", "message": "\0\ud800"}),
        page(503, headers={"retry-after": "1e300"}),
        page(429, headers={"retry-after": "-1"}),
    ],
    ids=["portal", "odd-text", "503", "429"],
)
async def test_whatever_answers_in_place_of_the_pds_the_record_arrives_once_it_is_back(
    desk: Rig, fault: Any
) -> None:
    desk.wire.faults[:] = [fault] * MORE_THAN_ONE
    track = desk.upload()
    await desk.relay_once()
    assert desk.mirror().state == "pending"
    assert desk.remote(track) is None
    desk.wire.faults.clear()
    desk.clock.advance(days=2)

    await desk.relay_once()

    assert desk.remote(track) == wanted(desk, track)
    assert desk.mirror().state == "delivered"


async def test_a_pause_that_an_unavailable_host_asks_for_is_kept_by_the_whole_lane(desk: Rig) -> None:
    desk.wire.faults += [page(503, headers={"retry-after": "120"})]
    desk.upload(1)
    await desk.relay_once()
    desk.upload(2)
    desk.clock.advance(seconds=119)
    assert await desk.relay_once() == {}
    desk.clock.advance(seconds=2)
    assert await desk.relay_once() == {Outcome.DELIVERED: 2}


async def test_a_record_that_another_client_keeps_writing_does_not_slow_its_siblings(desk: Rig) -> None:
    contended = await delivered(desk, 1)
    overtaken = meanwhile(lambda: foreign_put(desk, contended, x=len(desk.wire.sent)))
    desk.wire.faults += [overtaken] * 3
    desk.edit(1, title="ours")
    sibling = desk.upload(2)

    outcomes = await desk.relay_once()

    assert outcomes[Outcome.FAILED] == 1
    assert outcomes[Outcome.DELIVERED] >= 1  # a slow machine may see the end of the pause here
    assert desk.remote(sibling) == wanted(desk, sibling)
    desk.clock.advance(minutes=1)
    await desk.relay_once()
    assert desk.mirror(1).state == "delivered"


async def test_a_foreign_value_that_no_record_of_ours_can_hold_is_held_and_stops_no_sibling(
    desk: Rig,
) -> None:
    track = await delivered(desk, 1)
    odd = {**wanted(desk, track), "x": {"$link": "abc"}}
    records = desk.pds.repo(desk.did).records  # type: ignore[union-attr]
    records[COLLECTION, track.rkey] = replace(records[COLLECTION, track.rkey], value=odd)
    desk.wire.faults += [answered(400, "InvalidSwap")]
    desk.edit(1, title="ours")
    desk.upload(2)

    await desk.relay_once()

    assert (desk.mirror(1).state, desk.mirror(1).reason) == ("held", "foreign_edit")
    assert desk.mirror(2).state == "delivered"


@pytest.mark.parametrize("theirs", ["edit", "delete"])
async def test_what_its_owner_deletes_and_undeletes_after_another_clients_change_is_ours_again(
    desk: Rig, theirs: str
) -> None:
    track = await delivered(desk)
    if theirs == "edit":
        foreign_put(desk, track, title="foreign")
    else:
        desk.pds.delete_record(desk.did, COLLECTION, track.rkey)
    desk.edit(title="ours")
    await desk.relay_once()
    assert desk.mirror().state == ("held" if theirs == "edit" else "detached")

    desk.command(1, lambda track: track.delete(at=desk.clock()))
    await desk.relay_once()
    assert (desk.remote(track), desk.mirror().state) == (None, "delivered")
    track = desk.command(1, lambda track: track.undelete(at=desk.clock()))
    await desk.relay_once()

    assert desk.remote(track) == wanted(desk, track)


async def test_a_delete_does_not_wait_for_an_edit_whose_answer_was_lost(desk: Rig) -> None:
    track = await delivered(desk)
    desk.wire.faults += [answer_lost]
    desk.edit(title="lost")
    await desk.relay_once()
    desk.command(1, lambda track: track.delete(at=desk.clock()))
    desk.clock.advance(seconds=1)

    await desk.relay_once()

    assert desk.remote(track) is None
    assert desk.mirror().state == "delivered"


async def test_an_undelete_is_not_undone_by_a_delete_whose_answer_was_lost(desk: Rig) -> None:
    track = await delivered(desk)
    desk.wire.faults += [answer_lost]
    desk.command(1, lambda track: track.delete(at=desk.clock()))
    await desk.relay_once()
    assert desk.remote(track) is None
    track = desk.command(1, lambda track: track.undelete(at=desk.clock()))
    desk.clock.advance(minutes=10)

    await desk.relay_once()

    assert desk.remote(track) == wanted(desk, track)
    assert desk.mirror().state == "delivered"


async def test_a_record_is_encoded_once_for_its_delivery(desk: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, encode = [], delivery_task.encode
    monkeypatch.setattr(delivery_task, "encode", lambda record: seen.append(record) or encode(record))
    await delivered(desk)
    assert len(seen) == 1


async def test_a_delivery_that_failed_is_logged_as_not_delivered_with_what_happens_next(
    desk: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    desk.upload()
    desk.wire.faults += [page(502)]
    await desk.relay_once()
    [told] = [each for each in caplog.records if each.message in {"settled", "not_delivered"}]
    facts = vars(told)
    assert (told.message, facts["error"], facts["status"]) == ("not_delivered", "http_502", 502)
    assert facts["next"] == "tried again by itself, with growing pauses"


async def test_a_pds_that_returns_another_cid_is_believed_about_what_it_holds(
    desk: Rig, caplog: pytest.LogCaptureFixture
) -> None:
    track = await delivered(desk)
    stored = foreign_put(desk, track, title="normalised")
    held = desk.pds.get_record(desk.did, COLLECTION, track.rkey)
    assert held is not None
    desk.wire.faults += [page(200, json={"cid": held["cid"]})]
    desk.edit(title="ours")
    await desk.relay_once()
    [told] = [each for each in caplog.records if each.message == "cid_mismatch"]
    facts = vars(told)
    assert (facts["did"], facts["host"], facts["returned"]) == (desk.did, desk.pds.url, held["cid"])
    assert facts["request_id"] == f"relay-1:{facts['epoch']}"
    assert (desk.mirror().record_cid, desk.remote(track)) == (held["cid"], stored)

    track = desk.edit(title="next")
    await desk.relay_once()
    assert desk.remote(track) == wanted(desk, track)


def says_that_it_has(cid: str):
    """The PDS takes the write, and says that it made another record than it did."""

    async def fault(send):
        return httpx.Response(200, json={**(await send()).json(), "cid": cid})

    return fault


async def test_a_record_of_which_the_pds_says_another_cid_is_read_at_once(desk: Rig) -> None:
    track = desk.upload()
    desk.wire.faults += [says_that_it_has(ANOTHER_CID)]
    assert await desk.relay_once() == {Outcome.DELIVERED: 2}
    held = desk.pds.get_record(desk.did, COLLECTION, track.rkey)
    assert held is not None
    assert (desk.mirror().record_cid, desk.mirror().state) == (held["cid"], "delivered")
    assert await desk.relay_once() == {}


async def test_a_pds_that_never_says_what_it_has_is_read_once_a_generation(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk.pds, "answer", ever_another_cid(desk.pds.answer))
    desk.upload()
    async with asyncio.timeout(20):
        await desk.relay_once()
    assert len(desk.wire.sent) == 2  # as desired, and after the verification


def ever_another_cid(as_it_is):
    """Every answer about a record names a CID of its own."""
    numbers = itertools.count()

    def answer(request: httpx.Request, content: bytes) -> httpx.Response:
        reply = as_it_is(request, content)
        if "cid" not in reply.json():
            return reply
        return httpx.Response(200, json={**reply.json(), "cid": record_cid({"number": next(numbers)})})

    return answer


async def test_a_paced_record_whose_blob_was_missed_before_is_not_forgotten(desk: Rig) -> None:
    desk.upload()
    desk.command(1, lambda track: track.request_blob_migration(at=desk.clock()))
    await desk.relay_once()
    # as a missing blob of an older generation leaves it
    desk.execute(update(mirror_target).values(state="blob", not_before=NEVER))
    desk.wire.faults += [page(429, headers={"retry-after": "10"})]
    desk.edit(title="next")
    await desk.relay_once()
    desk.clock.advance(seconds=11)
    assert await desk.relay_once() == {Outcome.DELIVERED: 1}


STATEMENTS = {"sqlite": 6, "postgresql": 5}
"""Settle: the lane, the attempt, the target, which is one with it on PostgreSQL; begin the next: its target, its events, the intent."""
TRANSACTIONS = 1


@pytest.fixture
def seen(desk: Rig, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The statements since the test began; the ends of transactions are among them."""
    monkeypatch.setattr(relay, "EARLY_RELEASE_SECONDS", 3600.0)
    monkeypatch.setattr(restore_detection, "COMPARE_SECONDS", 3600.0)
    with recorded_statements(desk.database.engine) as statements:

        def commit(_connection: object) -> None:
            statements.append("COMMIT")

        event.listen(desk.database.engine, "commit", commit)
        yield statements
        event.remove(desk.database.engine, "commit", commit)


async def statements_of(desk: Rig, seen: list[str], records: int) -> tuple[int, int]:
    for number in range(1, records + 1):
        desk.edit(number, title=f"Edit {records}")
    seen.clear()
    assert await desk.relay_once() == {Outcome.DELIVERED: records}
    commits = seen.count("COMMIT")
    return len(seen) - commits, commits


@ON_BOTH
async def test_each_further_record_of_a_lane_run_takes_few_statements_and_one_transaction(
    desk: Rig, seen: list[str]
) -> None:
    for number in range(1, BATCH_FROM):
        desk.upload(number)
    await desk.relay_once()
    few, few_commits = await statements_of(desk, seen, 1)
    many, many_commits = await statements_of(desk, seen, BATCH_FROM - 1)
    further = BATCH_FROM - 2
    assert (many - few, many_commits - few_commits) == (
        further * STATEMENTS[desk.database.dialect],
        further * TRANSACTIONS,
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
