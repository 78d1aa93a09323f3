"""`mastertape recovered`."""

import json
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from aggregates.accounts.account import Account
from eventstore.coordination.restore_detection import (
    POSITIONS_SKIPPED,
    log_incarnation,
    mark_restored,
    newest_issued,
    restored_because,
)
from eventstore.streams.ids import next_subject_id
from outbox.mirror.tables import mirror_lane
from service.cli.output import operator_envelope
from service.process.jobs import JOBS
from service.schema.high_water_mark import (
    high_water_mark_path,
    record_high_water_mark,
)
from service.wiring.bootstrap import Container
from tests.dsl import ALICE, a_track
from tests.servers.databases import ON_BOTH, ON_SQLITE, clone_sqlite
from tests.service.cli.conftest import Type
from tests.service.conftest import save
from tests.service.process.periodic import run_if_due

pytestmark = ON_SQLITE  # what matters here is what is said


@pytest.fixture
def typed(tape: Container, on_tape: Type) -> Type:
    """Type a command, on a database with a track in it, whose artist's PDS is known."""
    with tape.database.write() as connection:
        connection.execute(update(mirror_lane).values(host="https://pds.music.com"))
    return on_tape


def put_back(tape: Container) -> None:
    """This machine has seen more of the log than there is."""
    high_water_mark_path(tape.settings).write_text("57\n")


def row(tape: Container) -> object:
    with tape.database.read() as connection:
        return connection.execute(select(log_incarnation)).one_or_none()


def newest(tape: Container) -> tuple[int, str | None]:
    """The highest position that may have been issued, and the restore that waits."""
    with tape.database.read() as connection:
        return newest_issued(connection), restored_because(connection)


def test_a_dry_run_says_what_would_be_done_and_notices_nothing(typed: Type, tape: Container) -> None:
    put_back(tape)
    before = row(tape)
    found = json.loads(typed("recovered", "--dry-run", "--json").stdout)
    assert (found["written"], found["position"], found["accounts"]) == (False, 2, 1)
    assert found["next_position"] > POSITIONS_SKIPPED
    assert "57 was seen in it" in found["because"]
    assert row(tape) == before
    assert "would wait" in typed("recovered", "--dry-run").stdout


def test_no_track_id_is_issued_again_after_a_file_was_put_back_before_its_newest_position_was_seen(
    typed: Type, tape: Container, tmp_path: Path
) -> None:
    file = Path(str(tape.database.engine.url.database))
    with tape.database.write() as connection:
        next_subject_id(connection, ALICE)  # of the track that is there
    clone_sqlite(file, tmp_path / "backup.db")
    record_high_water_mark(tape.log, tape.settings)
    lost = upload(tape)
    tape.database.close()
    shutil.copy(tmp_path / "backup.db", file)
    done = json.loads(typed("recovered", "--json").stdout)
    assert (done["because"], done["accounts"], done["written"]) == ("an operator says so", 1, True)
    assert upload(tape) > lost


def upload(tape: Container) -> int:
    with tape.log.unit_of_work(ALICE, operator_envelope()) as unit:
        track_id = next_subject_id(unit.connection, ALICE)
        unit.save(a_track(track_id))
    return track_id


def test_a_script_changes_nothing_without_a_noticed_restore_and_the_operator_learns_it(
    typed: Type, tape: Container
) -> None:
    before = newest(tape)
    said = "no restore was noticed. If there was one: `mastertape recovered`\n"
    for more in ((), ("--nothing-lost",), ("--dry-run",)):
        done = typed("recovered", "--if-noticed", *more)
        assert (done.exit_code, done.stdout, newest(tape)) == (0, said, before)


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_nothing_lost_in_no_restore_is_an_error(typed: Type, tape: Container, more: tuple[str, ...]) -> None:
    before = newest(tape)
    failed = typed("recovered", "--nothing-lost", *more)
    assert (failed.exit_code, failed.stdout, newest(tape)) == (1, "", before)
    assert "no restore was noticed, so nothing waits and nothing was changed" in failed.stderr


@pytest.mark.parametrize("more", [(), ("--dry-run",)])
def test_nothing_lost_is_refused_where_this_machine_has_seen_more_of_the_log(
    typed: Type, tape: Container, more: tuple[str, ...]
) -> None:
    put_back(tape)
    mark_restored(tape.database, "a standby was promoted")
    save(tape, a_track(2))  # far beyond what was seen
    before = newest(tape)
    failed = typed("recovered", "--nothing-lost", *more)
    assert (failed.exit_code, failed.stdout, newest(tape)) == (1, "", before)
    assert "the log ends at position 2, and 57 was seen in it: something is lost" in failed.stderr
    assert typed("recovered").exit_code == 0


@ON_BOTH
def test_one_command_ends_leases_and_resumes_where_a_promotion_lost_nothing(
    typed: Type, tape: Container
) -> None:
    record_high_water_mark(tape.log, tape.settings)
    mark_restored(tape.database, "a standby was promoted")
    with tape.database.write() as connection:
        later = tape.database.now(connection) + timedelta(hours=1)
        connection.execute(update(mirror_lane).values(lease_owner="a relay", lease_until=later))
    done = json.loads(typed("recovered", "--nothing-lost", "--json").stdout)
    assert (done["because"], done["accounts"], done["logins_ended"]) == ("a standby was promoted", 0, 0)
    assert newest(tape)[1] is None
    with tape.database.read() as connection:
        assert connection.scalars(select(mirror_lane.c.lease_owner)).all() == [None]


@ON_BOTH
def test_a_dry_run_of_a_restore_that_an_operator_declares_says_what_would_be_done(
    typed: Type, tape: Container
) -> None:
    before = row(tape)
    found = json.loads(typed("recovered", "--dry-run", "--json").stdout)
    assert row(tape) == before
    done = json.loads(typed("recovered", "--json").stdout)
    assert found == done | {"written": False}
    assert (done["because"], done["accounts"]) == ("an operator says so", 1)


def test_recovered_says_what_was_done_and_for_a_script_a_second_time_that_nothing_was(
    typed: Type, tape: Container
) -> None:
    put_back(tape)
    said = typed("recovered")
    assert (said.exit_code, "the log ends at 2 and continues at" in said.stdout) == (0, True)
    again = typed("recovered", "--if-noticed")
    assert (again.exit_code, again.stdout.startswith("no restore was noticed; 1 accounts wait")) == (
        0,
        True,
    )
    assert "an operator says so" in typed("recovered").stdout


@ON_BOTH
def test_the_log_names_the_operator_once(typed: Type, tape: Container) -> None:
    put_back(tape)
    for _ in range(2):
        assert typed("recovered", "--if-noticed", "--revoke-tokens").exit_code == 0
    actor = operator_envelope().actor
    with tape.database.read() as connection:
        [opened, acted] = tape.log.stream(connection, actor, Account.create_id(actor))
    event: Any = acted.event
    assert (event.action, event.affected, event.filter["revoke_tokens"]) == ("recovered", 1, True)
    assert (acted.actor, "57 was seen" in event.reason, opened.position > POSITIONS_SKIPPED) == (
        actor,
        True,
        True,
    )


@ON_BOTH
def test_no_job_runs_in_a_restored_database(typed: Type, tape: Container) -> None:
    job = next(job for job in JOBS if job.name == "forget_answers")
    put_back(tape)
    record_high_water_mark(tape.log, tape.settings)
    assert not run_if_due(tape, job)
    typed("recovered")
    assert run_if_due(tape, job)
