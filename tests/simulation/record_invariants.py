"""Invariants of every record. Each raises AssertionError, which names record and reason."""

from itertools import pairwise

from outbox.mirror.states import MirrorReason
from outbox.record.dag_cbor import Record as Value
from tests.fake_pds.repo import Commit
from tests.simulation.convergence import WAITING
from tests.simulation.snapshot import EVERYTHING, Record, Snapshot, generation, is_ours

STATUSES = frozenset({"none", "delivered", "superseded", "cancelled", "pending", "parked", *WAITING})


def converged(snapshot: Snapshot, *, was_told: bool = False) -> None:
    """I1: once faults have ended, each record equals the fold of the log, or says for whom it waits.

    Of what others wrote last the relay need not know before it `was_told` to look at all, nor once the account is
    given up: its PDS answers no look any more.
    """
    for record in snapshot.records:
        is_given_up = snapshot.world.is_given_up(record.state.did)
        if record.mirror.reason == MirrorReason.SUBJECT:
            continue  # its track has no record
        if record.mirror.state == "parked":
            assert is_given_up, record
            continue
        assert record.mirror.state in {"delivered", *WAITING}, record
        if (
            record.mirror.state == "delivered"
            and record.stored is not None
            and record.state.deleted_at is None
        ):
            adopted = record.mirror.record_cid == record.stored.cid
            assert not adopted or _says_the_log(record, record.stored.value), record
        by_others = bool(record.commits) and not is_ours(record.commits[-1])
        is_unseen = (by_others or _others_let_in(record)) and not (was_told and not is_given_up)
        if record.mirror.state in WAITING or is_unseen:
            continue  # it waits for a person, or the relay does not know yet
        if record.state.deleted_at is not None:
            assert record.stored is None or by_others, record
        elif by_others:
            assert record.stored is not None, record
            assert _says_the_log(record, record.stored.value), record
        else:
            assert record.stored is not None, record
            # one that was sent ahead with what it refers to names an earlier generation
            is_ahead = record.records.refers_to_others
            gen = generation(record.commits[-1]) if is_ahead else record.mirror.generation
            wanted = record.records.record_of(record.state, gen)
            assert _own(record, record.stored.value) == _own(record, wanted), record


def _others_let_in(record: Record) -> bool:
    """Whether an older put of ours came late, and only since others had deleted a record that is still wanted."""
    ours = [commit for commit in record.commits if is_ours(commit)]
    newest = max(ours, key=generation, default=None)
    if newest is None or record.state.deleted_at is not None or generation(ours[-1]) == generation(newest):
        return False
    since = record.commits[record.commits.index(newest) :]
    return not all(is_ours(commit) for commit in since)


def _says_the_log(record: Record, value: Value) -> bool:
    return record.records.own_part(value) == record.own_part_at(EVERYTHING)


def _own(record: Record, value: Value) -> Value:
    """With the generation."""
    return {name: each for name, each in value.items() if name in record.records.own_fields}


def generations_rise(snapshot: Snapshot) -> None:
    """I2: each of our puts has a higher generation than the one before, unless another client wrote in between.

    A create that comes late finds nothing where the record was deleted, and an edit that comes late finds such a create:
    that no client can prevent, only put right.
    """
    for record in snapshot.records:
        newest, alone, late = 0, True, 0
        for before, commit in pairwise([None, *record.commits]):
            if not is_ours(commit):
                alone, late = False, 0
            elif commit.value is not None:
                gen = generation(commit)
                came_late = (before is not None and before.value is None) or 0 < late < gen
                assert gen > newest or (gen == newest and not alone) or came_late, (
                    f"{record}: {gen} after {newest}"
                )
                late = gen if came_late and gen <= newest else 0
                newest, alone = max(gen, newest), True


def puts_are_the_log(snapshot: Snapshot) -> None:
    """Each put of ours says what the log said at the generation that it names."""
    for record in snapshot.records:
        for commit in record.commits:
            if is_ours(commit) and commit.value is not None:
                gen = generation(commit)
                assert record.records.own_part(commit.value) == record.own_part_at(gen), f"{record}: at {gen}"


def foreign_values_are_safe(snapshot: Snapshot) -> None:
    """I8: no put of ours replaces a foreign edit, nor brings back what was deleted elsewhere, unless its owner said so."""
    for record in snapshot.records:
        for index, commit in enumerate(record.commits):
            if (
                index
                and is_ours(commit)
                and commit.value is not None
                and not is_ours(record.commits[index - 1])
            ):
                _check_foreign(record, record.commits[:index], commit, snapshot.world.decided)


def _check_foreign(record: Record, before: list[Commit], ours: Commit, decided: list[Value]) -> None:
    foreign, gen, records = before[-1], generation(ours), record.records
    assert ours.value is not None
    where = f"{record}: {gen} over {foreign.action} elsewhere"
    if foreign.value is None:
        assert _may_create(record, gen), where
        return
    base = next((commit.value for commit in reversed(before) if is_ours(commit)), None)
    assert base is not None, where
    assert records.own_part(foreign.value) in [records.own_part(base), *decided], where
    kept = {name: value for name, value in foreign.value.items() if name not in records.own_fields}
    assert kept.items() <= ours.value.items(), f"{where}: unknown fields were lost"


def _may_create(record: Record, gen: int) -> bool:
    """Whether the owner wanted the record to exist, and no response had confirmed it yet."""
    wished = [each.position for each in record.events if getattr(each.event, "RECREATES_RECORD", False)]
    return any(
        position <= gen and not any(position <= acked < gen for acked in record.acked) for position in wished
    )


def signed_in_lanes_drain_alone(before: Snapshot, after: Snapshot) -> None:
    """I10: days of edits arrive as one write of each record, and one more for what the relay itself recorded meanwhile."""
    if not before.is_at_rest:
        return  # what was read or sent before may arrive in between
    for old, new in zip(before.records, after.records, strict=True):
        noted = [each for each in new.events[len(old.events) :] if each.event.touches_record()]
        written = [each for each in new.commits[len(old.commits) :] if is_ours(each)]
        assert len(written) <= 1 + len(noted), f"{new}: {len(written)} writes"


def waits_are_true(snapshot: Snapshot) -> None:
    """A record waits for a person only because of a foreign change: our own writes are always recognized."""
    for record in snapshot.records:
        if record.mirror.state == "held":
            assert any(_changed_ours(record, index) for index in range(len(record.commits))), record
        if record.mirror.state == "detached":
            assert any(_ends_theirs(record, index) for index in range(len(record.commits))), record


def _ends_theirs(record: Record, index: int) -> bool:
    """Whether another client deleted it; or our own delete, landing after the undelete, took away their version, which was held."""
    commits = record.commits
    is_delete = commits[index].value is None
    return is_delete and (not is_ours(commits[index]) or (index > 0 and not is_ours(commits[index - 1])))


def _changed_ours(record: Record, index: int) -> bool:
    commits, own_part = record.commits, record.records.own_part
    before, after = (commits[index - 1].value or {} if index else {}), commits[index].value or {}
    return not is_ours(commits[index]) and own_part(before) != own_part(after)


def events_are_accounted_for(snapshot: Snapshot, *, settled: bool = False) -> None:
    """I4: each event has one status, and the status is true of what the PDS has."""
    for record in snapshot.records:
        told = snapshot.deliveries(record)
        assert set(told) == {position for position, _ in record.facts}
        put = {generation(commit) for commit in record.commits if is_ours(commit)}
        # a list that was sent ahead with what it refers to names an earlier generation
        is_ahead = record.records.refers_to_others
        others = {commit.record_cid for commit in record.commits if is_ahead or not is_ours(commit)}
        for position, touches in record.facts:
            delivery, where = told[position], f"{record}: event {position} is {told[position]}"
            assert delivery.status in STATUSES, where
            assert (delivery.status == "none") == (not touches), where
            waits = delivery.status == "pending" and delivery.reason != MirrorReason.SUBJECT
            assert not (settled and waits), where
            if delivery.status == "delivered" and delivery.cid is not None:
                assert position in put or delivery.cid in others, where
            elif delivery.status == "superseded":
                assert delivery.by_generation is not None, where
                assert delivery.by_generation > position, where
                assert delivery.by_generation in told, where
            elif delivery.status == "cancelled":
                assert position not in put, where
