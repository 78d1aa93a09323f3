"""An account's commands add only so many bytes of events in a day; what is no command of its owner's has no such limit."""

from datetime import timedelta

import pytest
from sqlalchemy import func, select, update

from eventstore.event_budget import EventBudget, event_bytes
from eventstore.sql.schema import stored_event
from tests.api.account_deletion.deletion import is_deleted
from tests.api.auth.route_table import ROUTES, THINGS, of
from tests.api.auth.route_table import Who as Of
from tests.api.client import TestClient
from tests.api.world import ids_of, refusal, upload, upload_with_all
from tests.servers.databases import ON_SQLITE

BUDGET = 100_000
WORDS = "words " * 800
OTHERS = ("GET", "HEAD", "DELETE", "POST /auth", "POST /me/disconnect")
"""Requests that are no commands, take something back, or begin or end a session."""


@pytest.fixture
def track(client, alice):
    return upload(client, alice)


def edit(client, person, track, number=0, **headers):
    body = {"description": f"{number} {WORDS}"}
    return client.patch(f"/tracks/{track['id']}", json=body, headers={**person.headers, **headers})


def counted(world):
    return world.rows(select(event_bytes.c.did, event_bytes.c.bytes))


def added(world, person):
    state = stored_event.c.state
    size = func.sum(func.octet_length(state) if not world.database.is_sqlite else func.length(state))
    return world.scalars(select(size).where(stored_event.c.did == person.did))[0]


def edits_until_refused(client, person, track):
    for number in range(BUDGET // len(WORDS) + 2):
        if (answer := edit(client, person, track, number)).status_code != 200:
            return answer
    raise AssertionError


def test_an_account_that_has_used_up_its_day_goes_on_at_midnight_and_hinders_no_other(
    world, alice, bob, track
):
    client = world.serve(event_budget=EventBudget(BUDGET))
    before = added(world, alice)
    answer = edits_until_refused(client, alice, track)
    assert refusal(answer) == (429, "rate_limited")
    assert 0 < int(answer.headers["Retry-After"]) <= 86_400
    assert BUDGET - 2 * len(WORDS) < added(world, alice) - before <= BUDGET
    assert edit(client, bob, upload(client, bob)).status_code == 200

    [today] = world.scalars(select(event_bytes.c.day).where(event_bytes.c.did == alice.did))
    world.execute(update(event_bytes).values(day=today - timedelta(days=1)))
    assert edit(client, alice, track).status_code == 200


def test_the_budget_is_one_for_all_processes_and_outlives_them(world, alice, track):
    clients = [world.serve(event_budget=EventBudget(BUDGET)) for _ in range(3)]
    before = added(world, alice)
    for number in range(BUDGET // len(WORDS) + 2):
        edit(clients[number % 3], alice, track, number)
    assert added(world, alice) - before <= BUDGET
    after_restart = world.serve(event_budget=EventBudget(BUDGET))
    assert edit(after_restart, alice, track).status_code == 429


@ON_SQLITE
def test_small_edits_are_counted_together(world, alice, track):
    client = world.serve(event_budget=EventBudget(10 * len(WORDS) * 1000))
    before = added(world, alice)
    for number in range(9):
        edit(client, alice, track, number)
    assert counted(world) == []
    for number in range(9, 13):
        edit(client, alice, track, number)
    [(did, size)] = counted(world)
    assert (did, 0 < size <= added(world, alice) - before) == (alice.did, True)


@ON_SQLITE
def test_a_refused_edit_changes_nothing_and_costs_nothing(world, alice, track):
    client = world.serve(event_budget=EventBudget(BUDGET))
    edits_until_refused(client, alice, track)
    before = (world.state(), counted(world))
    key = {"Idempotency-Key": "k"}
    assert [edit(client, alice, track, number, **key).status_code for number in range(3)] == [429] * 3
    assert (world.state(), counted(world)) == before


@ON_SQLITE
def test_no_command_but_of_deletions_and_sessions_adds_events_beyond_the_budget(world, alice):
    made = upload_with_all(TestClient(world.app), alice)
    names, at_once = {**THINGS, **ids_of(made), "did": alice.did}, {"Prefer": "wait=0"}
    commands = [name for name in of(*Of) if not name.startswith(OTHERS)]
    grew, size = [], added(world, alice)
    with world.serve(event_budget=EventBudget(0)) as client:
        for name in commands:
            method, path = name.split(" ")
            headers = {**alice.headers, **at_once}
            client.request(method, path.format(**names), headers=headers, **ROUTES[name].body)
            if added(world, alice) != size:
                grew, size = [*grew, name], added(world, alice)
    assert grew == []


@ON_SQLITE
def test_an_owner_may_always_delete_and_leave(world, alice, track):
    client = world.serve(event_budget=EventBudget(0))
    assert edit(client, alice, track).status_code == 429
    world.deliver()
    assert world.record(track) is not None
    assert client.delete(f"/tracks/{track['id']}", headers=alice.headers).status_code == 200
    is_deleted(world, client, alice)
    assert world.rows(select(event_bytes)) == []
