"""`mastertape redrive`, `pause` and `resume`."""

import json
from typing import Any

import pytest
from sqlalchemy import select, update

from outbox.mirror.lanes import resume_lane
from outbox.mirror.tables import NEVER, mirror_lane, mirror_target
from projections.history import AuditFilter, HistoryEntry, audit_page
from service.wiring.bootstrap import Container
from tests.dsl import ALICE
from tests.servers.databases import ON_SQLITE
from tests.service.cli.conftest import Type

pytestmark = ON_SQLITE  # what matters here is what is said

HOST = "https://pds.example.com"


@pytest.fixture
def typed(tape: Container, on_tape: Type) -> Type:
    """Type a command; alice is signed in, and her one record was rejected."""
    with tape.database.write() as connection:
        resume_lane(connection, ALICE, HOST, tape.database.now(connection))
        rejected = {"state": "rejected", "reason": "InvalidRecord", "last_error": "InvalidRecord: no"}
        connection.execute(
            update(mirror_target).values(failed_gen=mirror_target.c.desired_gen, attempts=1, **rejected)
        )
    return on_tape


def written(tape: Container) -> list[Any]:
    """What the history says operators did, and in whose account it stands."""
    with tape.database.read() as connection:
        rows = audit_page(connection, AuditFilter(type="OperatorActed")).items
    return [
        (
            *(details(row).get(name) for name in ("action", "filter", "affected", "reason")),
            row.actor.split(":")[0],
            row.did.split(":")[0],
        )
        for row in reversed(rows)
    ]


def details(row: HistoryEntry) -> dict[str, Any]:
    return {change["field"]: change["after"] for change in row.changes}


def test_redrive_says_what_it_would_do_and_does_it(typed: Type, tape: Container) -> None:
    assert typed("redrive", "--dry-run").output == "1 record would be tried again\n"
    assert typed("redrive", "--error", "Other").output == "0 records will be tried again\n"
    assert json.loads(typed("redrive", "--did", ALICE, "--reason", "mended", "--json").output) == {
        "action": "redrive",
        "affected": 1,
        "written": True,
    }
    with tape.database.read() as connection:
        row = connection.execute(select(mirror_target)).one()
    assert (row.failed_gen, row.backfill) == (0, True)
    assert written(tape) == [
        ("redrive", {"error": "Other"}, 0, None, "cli", "cli"),
        ("redrive", {"did": ALICE}, 1, "mended", "cli", "did"),
    ]


@pytest.mark.parametrize("name", [ALICE, "pds.example.com"])
def test_an_account_or_a_host_is_paused_and_resumed(typed: Type, tape: Container, name: str) -> None:
    assert typed("pause", name, "--dry-run").output == "1 account would be paused\n"
    assert typed("pause", name).output == "1 account paused\n"
    with tape.database.read() as connection:
        lane_paused = connection.scalar(select(mirror_lane.c.paused))
    assert lane_paused is (name == ALICE)
    assert typed("pause", name).output == "0 accounts paused\n"
    assert (
        typed("resume", name, "--dry-run").output
        == "1 account would be resumed; what waits for 1 account would be sent at once\n"
    )
    assert typed("resume", name).output == "1 account resumed; what waits for 1 account is sent at once\n"
    again = "0 accounts resumed; what waits for 1 account is sent at once\n"
    assert (
        typed("resume", name).output == again
    )  # it was not paused, and does not wait for its breaker any more
    with tape.database.write() as connection:
        connection.execute(update(mirror_lane).values(due_at=NEVER))
    assert typed("resume", name).output == "0 accounts resumed; nothing is to be sent at once\n"
    assert [row[0] for row in written(tape)] == ["pause", "pause", *["resume"] * 3]


def test_a_host_is_followed_no_longer_and_again(typed: Type, tape: Container) -> None:
    name = "pds.example.com"
    assert typed("unfollow", name, "--dry-run").output == "1 host would be followed no longer\n"
    assert typed("unfollow", name).output == "1 host followed no longer\n"
    assert typed("unfollow", name).output == "0 hosts followed no longer\n"
    assert typed("follow", name).output == "1 host followed again\n"
    assert [row[0] for row in written(tape)] == ["unfollow", "unfollow", "follow"]


@pytest.mark.parametrize(
    ("command", "name"), [("pause", "did:plc:nobody"), ("resume", "nowhere.example.com")]
)
def test_an_unknown_account_or_host_is_an_error(
    typed: Type, tape: Container, command: str, name: str
) -> None:
    result = typed(command, name)
    assert result.exit_code == 1
    assert "nothing is known of" in result.output
    assert written(tape) == []
