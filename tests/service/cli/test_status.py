"""`mastertape status`, `failures` and `jobs`."""

import json

import pytest
from sqlalchemy import update

from aggregates.published import Subject
from eventstore.jobs import queue
from eventstore.jobs.kinds import Wanted
from eventstore.jobs.table import job
from outbox.mirror.failure_causes import Cause, count_failure
from outbox.mirror.lanes import change_lane, resume_lane
from outbox.mirror.tables import PAST, mirror_target, pds_host
from outbox.pds.verdict import Kind, Verdict
from service.process.jobs import request_periodic
from service.wiring.bootstrap import Container
from tests.dsl import ALICE
from tests.servers.databases import ON_SQLITE
from tests.service.cli.conftest import Type

pytestmark = ON_SQLITE  # what matters here is what is said

HOST = "https://pds.example.com"
VERDICT = Verdict(Kind.NOT_SENT, "ConnectError", message="refused")
CAUSE = Cause.of(HOST, VERDICT).id


@pytest.fixture
def typed(tape: Container, on_tape: Type) -> Type:
    """Type a command; alice's PDS does not answer, and her one record waits for it."""
    with tape.database.write() as connection:
        since = tape.database.now(connection)
        failing = {"failing_since": since, "first_error": "ConnectError: refused"}
        resume_lane(connection, ALICE, HOST, since)
        change_lane(connection, ALICE, failures=1, last_success_at=since, **failing)
        connection.execute(update(pds_host).values(failures=1, **failing))
        newest = {"failed_gen": mirror_target.c.desired_gen, "state": "backoff", "reason": "backoff"}
        last = {"attempts": 1, "cause": CAUSE, "last_error": "InternalServerError: [/b] later"}
        connection.execute(update(mirror_target).values(**last, **newest, **failing))
    count_failure(tape.database, HOST, VERDICT, did=ALICE, subject=Subject("track", 1))
    return on_tape


def test_status_says_since_when_a_host_fails_and_that_nothing_drains(typed: Type) -> None:
    said = typed("status").output
    for text in (HOST, "1 pds_away", "ConnectError: refused", "never: pds_away"):
        assert text in said
    [host] = json.loads(typed("status", "--json").output)["hosts"]
    assert (host["stalled_by"], host["first_error"]) == ("pds_away", "ConnectError: refused")
    assert host["failing_since"] == host["last_success_at"] is not None


@pytest.mark.parametrize("name", [HOST, "pds.example.com", ALICE])
def test_status_of_a_host_lists_its_accounts_and_of_an_account_its_records(typed: Type, name: str) -> None:
    found = json.loads(typed("status", name, "--json").output)
    [account] = found["accounts"]
    assert (account["did"], account["state"]) == (ALICE, "pds_away")
    assert [record["cause"] for record in found.get("records", [])] == ([CAUSE] if name == ALICE else [])
    assert "pds_away" in typed("status", name).output


def test_failures_are_listed_by_cause_and_a_cause_by_record(typed: Type) -> None:
    said = typed("failures").output
    assert CAUSE in said
    assert "write - ConnectError" in said
    [cause] = json.loads(typed("failures", "--host", "pds.example.com", "--json").output)["causes"]
    assert (cause["id"], cause["failures"], cause["records"]) == (CAUSE, 1, 1)
    [record] = json.loads(typed("failures", "--cause", CAUSE, "--json").output)["records"]
    assert (record["track_id"], record["state"]) == (1, "pending")
    assert typed("failures", "--error", "Other").output == "no causes\n"
    assert typed("failures", "--cause", "other").output == "no records\n"


@pytest.mark.parametrize("command", [("status", ALICE), ("failures", "--cause", CAUSE)])
def test_a_failing_record_shows_its_last_error_as_it_is_and_the_first_if_it_was_another(
    typed: Type, tape: Container, command: tuple[str, ...]
) -> None:
    last = "InternalServerError: [/b] later"
    assert f"{last} (at first: ConnectError: refused)" in typed(*command).output
    with tape.database.write() as connection:
        connection.execute(update(mirror_target).values(first_error=last))
    assert typed(*command).output.count(last) == 1


@pytest.mark.parametrize("command", ["status", "failures"])
def test_an_unknown_host_is_an_error(typed: Type, command: str) -> None:
    named = ["nowhere.example.com"] if command == "status" else ["--host", "nowhere.example.com"]
    result = typed(command, *named)
    assert result.exit_code == 1
    assert "nothing is known of" in result.output


def test_jobs_are_listed_by_kind_and_state(typed: Type, tape: Container) -> None:
    request_periodic(tape.database, ["sweep_media"])
    with tape.database.write() as connection:
        failed = {"state": "failed", "problem": "[/b] the PDS is gone", "failing_since": PAST}
        queue.request(connection, [Wanted("adoption", ALICE, ALICE)], tape.database.now(connection))
        connection.execute(update(job).where(job.c.kind == "adoption").values(**failed))
    for text in ("adoption", ALICE, "failed", "1970-01-01 00:00:00", "[/b] the PDS is gone", "sweep_media"):
        assert text in typed("jobs").output
    [found] = json.loads(typed("jobs", "--state", "failed", "--json").output)["jobs"]
    assert (found["kind"], found["account"]) == ("adoption", ALICE)
    assert [
        each["subject"] for each in json.loads(typed("jobs", "--kind", "periodic", "--json").output)["jobs"]
    ] == ["sweep_media"]
    assert "no jobs" in typed("jobs", "--state", "running").output
