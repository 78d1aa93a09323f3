"""What follows the log says how far it is, and a subscriber that stands still is noticed."""

import json
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text, update

from eventstore.jobs import queue
from eventstore.jobs.kinds import Kind, Outcome, Wanted
from eventstore.jobs.table import job_turn
from service.observability.subscribers import PROJECTIONS, SUBSCRIBERS, subscriber_rows, woken_by_commits
from service.wiring.bootstrap import Container
from storage.public.copies import Action
from tests.eventstore.jobs.rig import claim_anywhere
from tests.servers.databases import ON_SQLITE
from tests.service.cli.conftest import type_with


def behind(container: Container) -> dict[str, float]:
    with container.database.read() as connection:
        return {each.name: each.behind for each in subscriber_rows(connection, container.log)}


def standing_still(container: Container) -> set[str]:
    with container.database.read() as connection:
        return {each.name for each in subscriber_rows(connection, container.log) if each.stands_still}


def wait_for_20_minutes(container: Container, kind: str) -> None:
    """A job that is due since then."""
    with container.database.write() as connection:
        since = container.database.now(connection) - timedelta(minutes=20)
        queue.request(connection, [Wanted(kind, "subject")], since)
        connection.execute(update(job_turn).where(job_turn.c.kind == kind).values(served_at=since))


def a_kind(name: str) -> Kind:
    async def work(_job: Any) -> Outcome:
        return Outcome.DONE

    return Kind(name, work, max_concurrent=1, first_pause_seconds=1, max_pause_seconds=1)


@ON_SQLITE
def test_every_projection_of_the_log_is_a_subscriber_and_none_is_behind(tape: Container) -> None:
    names = [each.name for each in SUBSCRIBERS]
    assert len(set(names)) == len(names)
    assert {each.name for each in tape.log.projections} == {each.name for each in PROJECTIONS} < set(names)
    assert all(each.does for each in SUBSCRIBERS)
    assert standing_still(tape) == set()


@ON_SQLITE
def test_a_read_model_of_another_version_is_behind_by_the_whole_log(tape: Container) -> None:
    with tape.database.write() as connection:
        connection.execute(text("update projection_state set fingerprint = 'older' where name = 'tracks'"))
    assert standing_still(tape) == {"tracks"}
    assert behind(tape)["tracks"] >= 1


def test_jobs_stand_still_until_one_of_the_kind_begins_whatever_other_kinds_do(tape: Container) -> None:
    wait_for_20_minutes(tape, "one")
    wait_for_20_minutes(tape, "other")
    assert behind(tape)["jobs"] >= 1200
    assert claim_anywhere(tape.database, a_kind("other"), "a worker") is not None
    assert standing_still(tape) == {"jobs"}
    assert claim_anywhere(tape.database, a_kind("one"), "a worker") is not None
    assert behind(tape)["jobs"] < 60


@ON_SQLITE
def test_public_copies_that_wait_for_a_store_which_has_some_stand_nothing_still(tape: Container) -> None:
    for action in Action:
        wait_for_20_minutes(tape, action)
    assert behind(tape)["jobs"] < 60


@ON_SQLITE
def test_status_the_metric_and_the_doctor_name_the_subscriber_that_stands_still(
    tape: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = type_with(monkeypatch, DATA=tape.settings.data, DATABASE_URL=tape.settings.database_url)
    wait_for_20_minutes(tape, "one")
    rows = json.loads(typed("status", "--json").output)["subscribers"]
    assert [each["name"] for each in rows] == [each.name for each in SUBSCRIBERS]
    assert {each["name"]: each["behind"] for each in rows}["jobs"] >= 1200
    assert "after_commit" in typed("status").output
    assert "warn  subscribers: jobs (12" in typed("doctor").output
    [line] = [each for each in tape.metrics.text().decode().splitlines() if 'name="jobs"' in each]
    assert line.startswith("mastertape_subscriber_lag{")
    assert float(line.rpartition(" ")[2]) >= 1200


def test_a_commit_wakes_the_relay_and_the_jobs_here_and_is_announced_once() -> None:
    woken: list[str] = []
    wakes = {name: partial(woken.append, name) for name in ("relay", "jobs", "announcer")}
    woken_by_commits(wakes)()
    assert sorted(woken) == ["announcer", "jobs", "relay"]
    woken.clear()
    woken_by_commits(wakes, elsewhere=True)()
    assert sorted(woken) == ["jobs", "relay"]
