"""Jobs are claimed in turns of accounts and within limits, tried a few times, and settled by the last claim alone."""

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import event, select, text

from eventstore.coordination.due_parts import parts_of
from eventstore.errors import LeaseLostError
from eventstore.jobs import queue
from eventstore.jobs.kinds import Failure, Outcome, Wanted
from eventstore.jobs.queue import PROCESS_ENDED
from eventstore.jobs.table import JobState, job, job_turn, state_of
from tests.eventstore.jobs.rig import KIND, LEASE, SECOND, Rig, kind
from tests.servers.databases import ON_ONE_NODE


def test_accounts_take_turns_however_many_jobs_one_has(rig: Rig) -> None:
    rig.want(*(f"a{number}" for number in range(5)), account="alice")
    rig.later(SECOND)
    rig.want("b0", "b1", account="bob")
    rig.later(SECOND)
    rig.want("c0", account="carol")
    rig.later(SECOND)
    served = []
    for _ in range(8):
        served.append(rig.claimed(kind()).account)
        rig.later(SECOND)
    assert served == ["alice", "bob", "carol", "alice", "bob", "alice", "alice", "alice"]


def test_an_account_that_requests_again_and_again_does_not_pass_those_that_wait(rig: Rig) -> None:
    rig.want("b0", "b1", account="bob")
    rig.later(SECOND)
    served = []
    for number in range(4):
        rig.want(f"a{number}", account="alice")
        rig.later(SECOND)
        claimed = rig.claimed(kind())
        served.append(claimed.account)
        queue.settle(rig.database, kind(), claimed, Outcome.DONE)
        rig.later(SECOND)
    assert served == ["bob", "alice", "bob", "alice"]


def test_of_one_account_the_longest_due_is_first(rig: Rig) -> None:
    rig.want("b")
    rig.later(SECOND)
    rig.want("a")
    assert rig.subjects(kind(), 2) == ["b", "a"]
    assert rig.claim(kind()) is None


def test_an_account_has_no_more_jobs_under_way_than_it_may(rig: Rig) -> None:
    rig.want("a1", "a2", account="alice")
    rig.want("b1", account="bob")
    one_each = kind(max_per_account=1)
    first, _ = rig.claimed(one_each), rig.claimed(one_each, "two")
    assert rig.claim(one_each, "two") is None
    queue.settle(rig.database, one_each, first, Outcome.DONE)
    assert rig.claimed(one_each).subject == "a2"


def test_processes_that_claim_at_once_share_the_jobs_and_keep_the_limits(rig: Rig) -> None:
    for account in ("alice", "bob", "carol"):
        rig.want(*(f"{account}{number}" for number in range(3)), account=account)
    one_each = kind(max_per_account=1)
    with ThreadPoolExecutor(8) as processes:
        found = list(processes.map(lambda owner: rig.claim(one_each, owner), map(str, range(8))))
    assert sorted(each.account for each in found if each) == ["alice", "bob", "carol"]


def test_a_job_that_is_requested_again_stays_as_it_is(rig: Rig) -> None:
    rig.want("a")
    claimed = rig.claimed(kind())
    rig.want("a")
    rig.want("a", again=True)
    assert rig.claim(kind()) is None
    queue.fail(rig.database, kind(), claimed, Failure("no image", final=True))
    rig.want("a")
    assert (rig.row("a").state, rig.claim(kind())) == (JobState.FAILED, None)
    rig.want("a", again=True)
    again = rig.claimed(kind())
    assert (again.attempts, again.problem) == (1, None)


def test_a_job_that_is_to_hurry_while_it_runs_is_due_again_at_once(rig: Rig) -> None:
    rig.want("a")
    claimed = rig.claimed(kind())
    claimed.again_after = timedelta(days=1)
    rig.want("a", hurry=True)
    queue.settle(rig.database, kind(), claimed, Outcome.LATER)
    again = rig.claimed(kind())
    again.again_after = timedelta(days=1)
    rig.later(timedelta(hours=1))
    queue.settle(rig.database, kind(), again, Outcome.LATER)
    assert rig.claim(kind()) is None
    assert rig.row("a").due == again.began_at + again.again_after


@pytest.mark.databases("postgres")
def test_a_job_that_is_requested_while_its_turn_is_pruned_gets_another(rig: Rig) -> None:
    rig.want("a")
    queue.settle(rig.database, kind(), rig.claimed(kind()), Outcome.DONE)
    rig.later(timedelta(days=1))
    with rig.database.write() as connection:
        queue.request(connection, [Wanted(KIND, "b", "alice")], rig.time())
        with ThreadPoolExecutor() as other:
            other.submit(queue.prune_turns, rig.database, rig.time()).result()
    queue.prune_turns(rig.database, rig.time())
    assert rig.claimed(kind()).subject == "b"


def test_a_finished_job_has_no_row_unless_its_kind_keeps_it(rig: Rig) -> None:
    rig.want("a")
    queue.settle(rig.database, kind(), rig.claimed(kind()), Outcome.DONE)
    assert rig.row("a") is None
    rig.want("a")
    claimed = rig.claimed(kind())
    claimed.progress = {"found": 3}
    queue.settle(rig.database, kind(keeps_done=True), claimed, Outcome.DONE)
    assert (state_of(rig.row("a")), rig.row("a").progress) == (JobState.DONE, {"found": 3})


def test_a_job_that_ends_each_process_waits_longer_each_time_and_is_given_up(rig: Rig) -> None:
    rig.want("poison")
    waits = []
    while rig.row("poison").state == JobState.WAITING:
        rig.claim(kind(), "killed")
        began = rig.time()
        while rig.row("poison").state == JobState.WAITING and not _is_due(rig):
            rig.later(5 * SECOND)
            queue.release_ended(rig.database, [KIND], lambda _owner: True)
        waits.append((rig.time() - began).total_seconds())
    assert waits[0] >= 5
    assert waits[0] < waits[2] < waits[4]
    assert (len(waits), rig.row("poison").attempts, rig.row("poison").problem) == (6, 6, PROCESS_ENDED)


def _is_due(rig: Rig) -> bool:
    return bool(queue.due_kinds(rig.database, [kind_of], parts_of(rig.database)))


kind_of = kind()


def test_attempts_are_limited_unless_the_fault_is_not_the_jobs(rig: Rig) -> None:
    rig.want("a")
    for _ in range(2 * 5):
        queue.fail(rig.database, kind(), rig.claimed(kind()), Failure("the store is away", counted=False))
        assert rig.claim(kind()) is None
        rig.later(timedelta(seconds=1000))
    queue.release(rig.database, rig.claimed(kind()))
    for attempt in range(1, 6):
        claimed = rig.claimed(kind())
        assert claimed.attempts == attempt
        queue.fail(rig.database, kind(), claimed, Failure("503"))
        rig.later(timedelta(seconds=1000))
    assert (rig.claim(kind()), rig.row("a").state, rig.row("a").problem) == (None, JobState.FAILED, "503")


def test_a_failing_job_says_since_when_until_an_attempt_ends_well(rig: Rig) -> None:
    rig.want("a")
    began = rig.time()
    for _ in range(2):
        queue.fail(rig.database, kind(), rig.claimed(kind()), Failure("503"))
        rig.later(timedelta(seconds=1000))
    assert (rig.row("a").failing_since, rig.row("a").problem) == (began, "503")
    queue.settle(rig.database, kind(), rig.claimed(kind()), Outcome.AGAIN)
    assert (rig.row("a").failing_since, rig.row("a").problem, rig.row("a").attempts) == (None, None, 0)
    assert rig.claim(kind()) is not None


def test_an_expired_claim_changes_nothing(rig: Rig) -> None:
    rig.want("a")
    late = rig.claimed(kind(), "late")
    rig.later(LEASE)
    again = rig.claimed(kind())
    late.progress = {"found": 9}
    queue.fail(rig.database, kind(), late, Failure("too late", final=True))
    queue.settle(rig.database, kind(), late, Outcome.DONE)
    queue.release(rig.database, late)
    assert not queue.extend(rig.database, late, LEASE)
    assert (rig.row("a").lease_owner, rig.row("a").problem, rig.row("a").progress) == ("one", None, None)
    with rig.database.write() as connection:
        with pytest.raises(LeaseLostError):
            queue.require_held(connection, late)
        queue.require_held(connection, again)
    assert queue.extend(rig.database, again, LEASE)


def test_a_job_that_is_cancelled_and_requested_anew_is_another_one(rig: Rig) -> None:
    rig.want("a", account="a")
    late = rig.claimed(kind())
    with rig.database.write() as connection:
        queue.cancel(connection, KIND, "a")
    rig.want("a", account="a")
    assert rig.claimed(kind(), "two").epoch == late.epoch
    queue.settle(rig.database, kind(), late, Outcome.DONE)
    assert rig.row("a").lease_owner == "two"


def test_what_fails_for_good_says_so_in_the_same_transaction(rig: Rig) -> None:
    def on_failed(connection, claimed, problem, _now):
        at_once = connection.scalar(select(job.c.state).where(job.c.id == claimed.id))
        seen.append((claimed.subject, problem, at_once))

    seen: list[tuple[str, str, str]] = []
    told = kind(on_failed=on_failed)
    rig.want("a")
    queue.fail(rig.database, told, rig.claimed(told), Failure("503"))
    rig.later(timedelta(seconds=1000))
    queue.fail(rig.database, told, rig.claimed(told), Failure("gone", final=True))
    assert seen == [("a", "gone", JobState.FAILED)]


@ON_ONE_NODE  # of several, most have too few rows for an index
def test_a_look_and_a_claim_read_by_their_indexes_whatever_waits(rig: Rig) -> None:
    rig.want(*map(str, range(2000)), account="alice")
    rig.want("b", account="bob")
    rig.subjects(kind(), 3)
    with rig.database.write() as connection:
        if not rig.database.is_sqlite:
            connection.execute(text("analyze job"))
            connection.execute(text("analyze job_turn"))
    statements: list[tuple[str, object]] = []
    limited = kind(max_per_account=4, max_per_host=4)

    @event.listens_for(rig.database.engine, "before_cursor_execute")
    def note(_connection, _cursor, statement, parameters, *_rest):
        if statement.startswith("SELECT") and "job_turn" in statement:
            statements.append((statement, parameters))

    assert rig.claim(limited) is not None
    event.remove(rig.database.engine, "before_cursor_execute", note)
    assert statements
    explain = "explain query plan " if rig.database.is_sqlite else "explain "
    with rig.database.read() as connection:
        for statement, parameters in statements:
            plan = "\n".join(
                str(tuple(row)) for row in connection.exec_driver_sql(explain + statement, parameters)
            )
            assert "Seq Scan on job " not in plan
            assert "SCAN job" not in plan.replace("SCAN job_turn", "")
            assert re.search(r"ix_job_(un)?queued|_kind_(account_)?due_id_idx", plan)  # of a part


def test_turns_of_accounts_without_jobs_are_forgotten(rig: Rig) -> None:
    rig.want("a", account="alice")
    rig.want("b", account="bob")
    queue.settle(rig.database, kind(), rig.claimed(kind()), Outcome.DONE)
    queue.prune_turns(rig.database, rig.time())
    with rig.database.read() as connection:
        assert connection.scalars(select(job_turn.c.account)).all() == ["bob"]


def test_the_turn_of_a_job_that_was_cancelled_is_forgotten(rig: Rig) -> None:
    for subject in ("a", "b", "c"):
        rig.want(subject, account=subject)
    rig.claimed(kind())
    with rig.database.write() as connection:
        queue.cancel(connection, KIND, "b", "b")
    queue.prune_turns(rig.database, rig.time())
    with rig.database.read() as connection:
        assert connection.scalars(select(job_turn.c.account)).all() == ["c"]
    assert rig.claimed(kind()).subject == "c"


@pytest.mark.parametrize("ends", [None, Outcome.AGAIN])
def test_a_job_waits_for_no_clock_that_was_set_back(rig: Rig, ends: Outcome | None) -> None:
    rig.want("a")
    if ends is not None:
        queue.settle(rig.database, kind(), rig.claimed(kind()), ends)
    rig.later(timedelta(hours=-1))
    assert _is_due(rig)
