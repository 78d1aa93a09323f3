"""Which attempts are kept, and for how long."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from outbox.mirror.tables import delivery_attempt, mirror_target
from outbox.relay import journal
from outbox.relay.journal import prune_attempts
from tests.outbox.rigs.relay_rig import Rig

pytestmark = pytest.mark.anyio


async def delivered(desk: Rig) -> int:
    desk.upload()
    await desk.relay_once()
    return desk.mirror().acked_generation


def attempted(desk: Rig, outcome: str | None, *, days: float, gen: int, **columns: Any) -> int:
    mirror = desk.mirror()
    did, collection, rkey = mirror.record_uri.removeprefix("at://").split("/")
    at = desk.clock() - timedelta(days=days)
    row = {"did": did, "collection": collection, "rkey": rkey, "gen": gen, "op": "put", "epoch": 1}
    with desk.database.write() as connection:
        made = insert(delivery_attempt).values({**row, "started_at": at, "outcome": outcome, **columns})
        (attempt_id,) = connection.execute(made.returning(delivery_attempt.c.id)).one()
    return int(attempt_id)


def kept(desk: Rig) -> set[int]:
    return set(desk.scalars(select(delivery_attempt.c.id)))


async def test_attempts_go_after_a_month_and_failures_after_half_a_year(
    desk: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "IDS_PER_STATEMENT", 2)
    gen = await delivered(desk)
    old = [attempted(desk, outcome, days=31, gen=gen) for outcome in (None, "ambiguous", "not_sent", "paced")]
    failed = attempted(desk, "rejected", days=179, gen=gen)
    young = attempted(desk, "ambiguous", days=29, gen=gen)
    ancient = attempted(desk, "rejected", days=181, gen=gen)
    last = attempted(desk, "done", days=1, gen=gen)

    assert prune_attempts(desk.database) == len(old) + 1

    assert kept(desk) & {*old, failed, young, ancient, last} == {failed, young, last}
    assert prune_attempts(desk.database) == 0


async def test_what_acknowledged_a_generation_is_kept_for_ever(desk: Rig) -> None:
    gen = await delivered(desk)
    acks = {attempted(desk, outcome, days=4000, gen=gen) for outcome in ("done", "cancelled")}
    attempted(desk, "done", days=1, gen=gen)
    prune_attempts(desk.database)
    assert acks <= kept(desk)


async def test_of_repeated_confirmations_of_a_generation_the_first_and_the_last_are_kept(desk: Rig) -> None:
    """A record that was taken down reads as absent, and each verification confirms it by a write."""
    gen = await delivered(desk)
    repeated = [
        attempted(desk, "done", days=days, gen=gen, request_cid=desk.mirror().record_cid)
        for days in (40, 35, 29)
    ]
    other = attempted(desk, "done", days=40, gen=gen, request_cid="of other fields")
    last = attempted(desk, "done", days=31, gen=gen, request_cid=desk.mirror().record_cid)
    first = min(kept(desk))

    assert prune_attempts(desk.database) == 2

    assert kept(desk) == {first, repeated[2], other, last}


async def test_the_last_word_on_a_record_is_kept_for_ever(desk: Rig) -> None:
    gen = await delivered(desk)
    last = attempted(desk, "ambiguous", days=4000, gen=gen)
    prune_attempts(desk.database)
    assert last in kept(desk)


async def test_what_the_pds_has_not_confirmed_is_kept(desk: Rig) -> None:
    gen = await delivered(desk)
    waiting = attempted(desk, None, days=4000, gen=gen + 1)
    attempted(desk, None, days=1, gen=gen + 1)
    prune_attempts(desk.database)
    assert waiting in kept(desk)

    desk.execute(update(mirror_target).values(acked_gen=gen + 1))
    prune_attempts(desk.database)
    assert waiting not in kept(desk)
