"""A PATCH and a GET take the same few statements and round trips, however long the track's history is."""

import re
from statistics import median

import anyio
import pytest

from tests.api.tracks.patch import as_json
from tests.api.world import upload
from tests.servers.citus import CITUS
from tests.servers.databases import ON_POSTGRES
from tests.statements import recorded_statements, remote_commands, traced_round_trips

STATEMENTS = {"sqlite": 7, "postgresql": 7}
"""The proof of what the command takes to be so, the event, what is made of it, the answer. PostgreSQL also takes a lock, and makes the lane due in the proof."""
REMOTE_COMMANDS = 8
"""On Citus, BEGIN and COMMIT included; the caller's token aside."""
ROUND_TRIPS = 1
"""All from BEGIN to COMMIT, the caller's token with it."""
READ_STATEMENTS = 2
"""The caller, and the track with all that is shown beside it."""


@pytest.fixture
def statements(world):
    """Those since the test began."""
    with recorded_statements(world.database.engine) as seen:
        yield seen


def test_a_patch_takes_a_few_statements(client, world, alice, statements):
    track = upload(client, alice)
    as_json(client, alice, track, {"title": "warm"})
    statements.clear()
    assert as_json(client, alice, track, {"title": "Second"}).status_code == 200
    assert len(statements) == STATEMENTS[world.database.dialect], statements


@ON_POSTGRES
def test_a_patch_takes_a_few_round_trips_to_postgresql(client, world, alice):
    track = upload(client, alice)
    as_json(client, alice, track, {"title": "warm"})
    with traced_round_trips(world.database.engine) as round_trips:
        assert as_json(client, alice, track, {"title": "Second"}).status_code == 200
        assert round_trips() == ROUND_TRIPS
        assert client.get(f"/tracks/{track['id']}", headers=alice.headers).status_code == 200
        assert round_trips() == READ_STATEMENTS


@pytest.mark.databases(CITUS)
def test_a_patch_takes_a_few_commands_at_one_worker_and_no_two_phase_commit(client, world, alice):
    track = upload(client, alice)
    with remote_commands(world.database.engine) as seen:
        for number in range(8):  # plans come to rest
            seen.clear()
            assert as_json(client, alice, track, {"title": f"Take {number}"}).status_code == 200
        commands = [sql for sql in seen if "polls" not in sql]
    assert len(commands) == REMOTE_COMMANDS, "\n".join(commands)


def test_a_get_takes_a_statement_for_the_caller_and_one_for_the_track(client, alice, statements):
    track = upload(client, alice)
    statements.clear()
    assert client.get(f"/tracks/{track['id']}", headers=alice.headers).status_code == 200
    assert len(statements) == READ_STATEMENTS, statements


def test_a_patch_answers_what_a_get_reads(client, alice):
    track = upload(client, alice)
    changes = {"title": "Second", "tags": ["a", "b"], "album": "LP", "description": "d", "unlisted": True}
    for change in (changes, {"support_gate": {"type": "any"}}, {"title": "Second"}):
        answer = as_json(client, alice, track, change)
        read = client.get(f"/tracks/{track['id']}", headers=alice.headers)
        assert (answer.json(), answer.headers["etag"]) == (read.json(), read.headers["etag"])


def test_the_tenth_patch_reads_as_few_events_as_the_second(client, alice, decoded):
    track = upload(client, alice)
    counts = []
    for number in range(10):
        decoded.clear()
        as_json(client, alice, track, {"title": f"Take {number}"})
        counts.append(len(decoded))
    assert median(counts) == 1  # one whose time had passed when it was sent is decided again


def test_every_column_of_a_read_model_is_in_the_statement_that_writes_it(client, world, alice, statements):
    upload(client, alice, tags=["live"])
    written = {
        found[1]: set(re.split(r"\W+", found[2]))
        for sql in statements
        if (found := re.match(r"insert into (\w+) \((.*?)\)", " ".join(sql.split()), re.IGNORECASE))
    }
    models = {each.live.name: each for made in world.services.log.projections for each in made.tables}
    assert {"tracks", "track_tags", "history", "media_references", "mirror_target"} <= written.keys()
    for name in models.keys() & written.keys():
        columns = models[name].live.columns
        assert {columns[key].name for key in (*models[name].key, *models[name].columns)} <= written[name]


def test_a_patch_changes_threads_once(client, alice, monkeypatch):
    track, hops, run_sync = upload(client, alice), [], anyio.to_thread.run_sync
    as_json(client, alice, track, {"title": "warm"})
    monkeypatch.setattr(
        anyio.to_thread, "run_sync", lambda *args, **how: hops.append(args) or run_sync(*args, **how)
    )
    assert as_json(client, alice, track, {"title": "Second"}).status_code == 200
    assert len(hops) == 1
