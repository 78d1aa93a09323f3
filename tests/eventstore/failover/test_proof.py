"""A promoted standby is taken for the log if, and only if, all that was acknowledged is proved to be on it."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from eventstore.errors import CommitFailedError, LogBusyError
from eventstore.failover.acknowledged_file import SLOTS
from eventstore.failover.proof import why_not_provable
from eventstore.restore_detection import POSITIONS_SKIPPED, mark_restored
from eventstore.unit_of_work import UnitOfWork
from tests.eventstore.counter import ALICE, ENVELOPE
from tests.eventstore.failover.machines import Machines, add_one, machines_on
from tests.servers.pgbouncer import ROLE_SETTINGS, pooled

pytestmark = pytest.mark.postgres


@pytest.fixture
def machines(migrated_postgres: str, tmp_path: Path) -> Iterator[Machines]:
    """Machines, and a primary with a synchronous standby."""
    with machines_on(migrated_postgres, tmp_path) as made:
        yield made


def test_a_failover_that_has_lost_nothing_is_proved_and_numbers_are_skipped(
    machines: Machines, caplog: pytest.LogCaptureFixture
) -> None:
    process = machines.process()
    last = process.acknowledges()
    machines.fails_over()
    assert process.proves()
    assert "failover_proved" in caplog.messages
    assert process.acknowledges() > last + POSITIONS_SKIPPED


def test_a_failover_that_has_lost_the_newest_acknowledged_event_waits_for_an_operator(
    machines: Machines, caplog: pytest.LogCaptureFixture
) -> None:
    process = machines.process()
    process.acknowledges()
    machines.fails_over(lost=process.acknowledges("two"))
    assert not process.proves()
    assert not process.proves()
    assert caplog.messages.count("failover_not_proved") == 1


def test_an_event_that_another_transaction_has_at_that_position_proves_nothing(machines: Machines) -> None:
    process = machines.process()
    position = process.acknowledges()
    machines.fails_over()
    with process.database.write() as connection:
        connection.execute(
            text("update stored_event set request_id = 'other' where position = :position"),
            {"position": position},
        )
    assert not process.proves()


def test_what_is_acknowledged_after_the_failover_hides_no_loss(machines: Machines) -> None:
    process = machines.process()
    process.acknowledges()
    machines.fails_over(lost=process.acknowledges("two"))
    for _ in range(SLOTS + 1):
        process.acknowledges()
    assert not process.proves()


def test_a_loss_on_one_machine_is_a_loss_for_all(machines: Machines) -> None:
    here, there = machines.process("here"), machines.process("there")
    here.acknowledges()
    machines.fails_over(lost=there.acknowledges("two"))
    assert not there.proves()
    assert not here.proves()


def test_each_machine_proves_its_part_and_the_last_one_ends_the_waiting(machines: Machines) -> None:
    here, there = machines.process("here"), machines.process("there")
    here.acknowledges()
    there.acknowledges("two")
    machines.fails_over()
    assert not here.proves()
    assert there.proves()
    assert here.proves()


def test_a_machine_that_is_gone_proves_nothing_unless_its_process_was_stopped_before(
    machines: Machines,
) -> None:
    here, stopped, gone = (machines.process(name) for name in ("here", "stopped", "gone"))
    for each in (here, stopped, gone):
        each.acknowledges()
    stopped.stops()
    machines.fails_over()
    assert not here.proves()
    assert gone.proves()


def test_the_file_of_a_killed_process_proves_what_it_had_acknowledged(machines: Machines) -> None:
    machines.killed_process()
    machines.fails_over()
    process = machines.process()
    process.acknowledges("two")
    assert process.proves()


def test_a_file_whose_row_was_lost_too_shows_the_loss_to_all_machines(machines: Machines) -> None:
    there = machines.process("there")
    there.acknowledges()
    killed = machines.process("here")
    position = killed.acknowledges("two")
    killed.is_killed()
    machines.fails_over(lost=position)
    with there.database.write() as connection:
        newest = "(select id from acknowledging_process order by renewed_at desc limit 1)"
        connection.execute(text(f"delete from acknowledging_process where id = {newest}"))  # noqa: S608
    here = machines.process("here")
    here.acknowledges("three")
    assert not here.proves()
    assert not there.proves()


def test_a_file_that_is_missing_proves_nothing(machines: Machines) -> None:
    killed = machines.process()
    killed.acknowledges()
    killed.is_killed()
    shutil.rmtree(machines.data("here") / "acknowledged")
    machines.fails_over()
    process = machines.process()
    process.acknowledges("two")
    assert not process.proves()


@pytest.mark.parametrize(("synchronous", "caught_up"), [(False, True), (True, False)])
def test_without_a_synchronous_standby_that_knew_of_the_process_nothing_is_proved(
    machines: Machines, monkeypatch: pytest.MonkeyPatch, *, synchronous: bool, caught_up: bool
) -> None:
    monkeypatch.setattr("eventstore.failover.acknowledgements.STANDBY_TIMEOUT_SECONDS", 0.0)
    machines.has_standby(synchronous=synchronous, caught_up=caught_up)
    process = machines.process()
    process.acknowledges()
    machines.fails_over()
    assert not process.proves()


def test_a_server_on_which_no_process_had_registered_proves_nothing(machines: Machines) -> None:
    before = machines.process()
    before.acknowledges()
    before.stops()
    machines.fails_over()
    assert not machines.process().proves()


def test_a_log_that_ends_before_what_the_machine_has_seen_is_not_proved(machines: Machines) -> None:
    process = machines.process()
    process.seen = process.acknowledges() + 1
    machines.fails_over()
    assert not process.proves()


def test_a_restore_for_another_reason_is_left_to_the_operator_also_after_a_failover(
    machines: Machines,
) -> None:
    process = machines.process()
    process.acknowledges()
    mark_restored(process.database, "an operator says so")
    assert not process.proves()
    machines.fails_over()
    assert not process.proves()


def test_two_failovers_in_a_row_are_proved(machines: Machines) -> None:
    process = machines.process()
    process.acknowledges()
    machines.fails_over()
    process.acknowledges("two")
    machines.fails_over(timeline="00000003")
    assert process.proves()


def test_a_commit_on_the_old_server_is_not_acknowledged_once_the_process_has_met_the_new_one(
    machines: Machines,
) -> None:
    process = machines.process()
    process.acknowledges()

    def meets_another_server_before_the_commit(unit: UnitOfWork) -> None:
        add_one(unit, "two")
        process.acknowledgements.leave("another server")

    with pytest.raises(CommitFailedError):
        process.log.transact(ALICE, ENVELOPE, meets_another_server_before_the_commit)


def test_a_process_that_stops_leaves_neither_row_nor_file(machines: Machines) -> None:
    process = machines.process()
    process.acknowledges()
    process.stops()
    assert list((machines.data("here") / "acknowledged").iterdir()) == []
    other = machines.process("there")
    with other.database.read() as connection:
        assert connection.scalar(text("select count(*) from acknowledging_process")) == 0


def test_what_a_killed_process_left_is_removed_by_the_next_one(machines: Machines) -> None:
    killed, process = machines.process(), machines.process()
    killed.acknowledges()
    killed.is_killed()
    process.acknowledges()
    with process.database.read() as connection:
        assert connection.scalar(text("select count(*) from acknowledging_process")) == 1
    assert len(list((machines.data("here") / "acknowledged").iterdir())) == 1


def test_the_row_of_a_machine_that_is_gone_is_removed_after_an_hour(machines: Machines) -> None:
    killed, process = machines.process("gone"), machines.process()
    killed.acknowledges()
    killed.is_killed()
    with process.database.write() as connection:
        connection.execute(
            text("update acknowledging_process set renewed_at = renewed_at - interval '61 minutes'")
        )
    process.acknowledges()
    machines.fails_over()
    assert process.proves()


@pytest.mark.parametrize(
    ("connected", "synchronous", "knew", "reason"),
    [
        (1, 1, True, None),
        (0, 0, True, "no standby is connected"),
        (2, 1, True, "1 of 2 standbys are not synchronous, or this role lacks pg_monitor"),
        (1, 1, False, "processes began before a synchronous standby knew of them, on "),
    ],
)
def test_it_can_be_told_before_whether_a_failover_would_be_proved(
    machines: Machines,
    monkeypatch: pytest.MonkeyPatch,
    *,
    connected: int,
    synchronous: int,
    knew: bool,
    reason: str | None,
) -> None:
    machines.has_standby(synchronous=knew)
    process = machines.process()
    process.acknowledges()
    found = text(f"select {connected} as connected, {synchronous} as synchronous")
    monkeypatch.setattr("eventstore.failover.proof._STANDBYS", found)
    with process.database.read() as connection:
        said = why_not_provable(connection)
    assert said == reason or (said or "").startswith(reason or "-")


@pytest.mark.pgbouncer
def test_behind_a_pooler_each_append_looks_at_its_server(migrated_postgres: str, tmp_path: Path) -> None:
    with pooled(migrated_postgres, *ROLE_SETTINGS) as url, machines_on(url, tmp_path) as machines:
        process = machines.process()
        last = process.acknowledges()
        machines.fails_over(keep_connections=True)
        with pytest.raises(LogBusyError):
            process.acknowledges("two")
        assert process.acknowledges("two") > last + POSITIONS_SKIPPED
        assert process.proves()
