"""POST /me/adopt starts an adoption of the account's records; GET shows its progress."""

import pytest

from replay.adoption.record import Progress
from tests.api.ops.requests import read
from tests.replay.adoption.claims import claimed, fail, finish
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE

HERE = "/me/adopt"
NOTHING = {"found": 0, "known": 0, "adopted": 0, "refused": 0, "problem": None, "problems": []}


def test_before_it_is_asked_for_there_is_nothing_to_watch(client, alice):
    report = read(client, alice, HERE)
    assert report == {
        "state": "idle", "requested_at": None, "ended_at": None, "next_attempt_at": None, **NOTHING,
    }  # fmt: skip


def test_a_request_is_kept_until_a_process_takes_it_and_another_is_the_same(client, alice):
    answer = client.post(HERE, headers=alice.headers)
    assert (answer.status_code, answer.headers["location"], answer.json()["state"]) == (202, HERE, "waiting")
    again = client.post(HERE, headers=alice.headers).json()
    assert again == answer.json() == read(client, alice, HERE)


@pytest.mark.parametrize("final", [True, False])
def test_one_that_could_not_go_on_says_why_and_when_it_does(world, client, alice, final):
    client.post(HERE, headers=alice.headers)
    job = claimed(world.database)
    assert read(client, alice, HERE)["state"] == "running"
    fail(world.database, job, Progress(found=2), "away", final=final)
    report = read(client, alice, HERE)
    assert (report["state"], report["problem"], report["found"]) == (
        "failed" if final else "waiting",
        "away",
        2,
    )
    assert (report["next_attempt_at"] is None, report["ended_at"] is None) == (final, not final)


def test_a_wait_ends_with_the_work(world, client, alice):
    client.post(HERE, headers=alice.headers)
    job = claimed(world.database)
    problem = {
        "uri": "at://" + "x" * 1000,
        "error": "bytes_unavailable",
        "message": "m",
        "adopted": False,
        "reason": "nowhere",
    }
    finish(world.database, job, Progress(found=1, refused=1, problems=[problem]))
    report = read(client, alice, HERE)
    shortened = "at://" + "x" * 250 + "\u2026"
    assert (report["state"], report["problems"]) == ("done", [{**problem, "uri": shortened}])
    answer = client.post(HERE, headers={**alice.headers, "prefer": "wait=1"})
    assert (answer.status_code, answer.headers["preference-applied"]) == (202, "wait=1")
